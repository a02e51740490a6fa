#!/usr/bin/env bash
# Makes the picture of docs/report.md: two small fine-tunes of 28 layers, their fusion, the heat map of what came from
# which. On a Debian or Ubuntu machine with Node and npm; installs what is missing and builds.
#
#   examples/heat-map.sh [DIR]    where everything goes; build/heat-map by default
set -euo pipefail
directory=$(realpath -m "${1:-$(dirname "$0")/../build/heat-map}")
cd "$(dirname "$0")/.."

test/setup.sh build
node examples/deepPair.js "$directory"
node bin/branchmerge.js fuse "$directory/left" "$directory/right" --out "$directory/merged" \
  --stats "$directory/stats.jsonl" --overwrite
node bin/branchmerge.js report --stats "$directory/stats.jsonl"
node bin/branchmerge.js report --stats "$directory/stats.jsonl" --out "$directory/heat-map.svg" --overwrite
