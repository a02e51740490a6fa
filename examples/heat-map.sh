#!/usr/bin/env bash
# Makes the picture of docs/report.md: three small fine-tunes of 28 layers, merged in a sequence, and the heat map of what
# each step took from its Right. On a Debian or Ubuntu machine with Node and npm; installs what is missing and builds.
#
#   examples/heat-map.sh [DIR]    where everything goes; build/heat-map by default
set -euo pipefail
directory=$(realpath -m "${1:-$(dirname "$0")/../build/heat-map}")
cd "$(dirname "$0")/.."

test/setup.sh build
node examples/deepExperts.js "$directory"
node bin/branchmerge.js merge '(math & science) & coding' --out "$directory/merged" --overwrite \
  --model math="$directory/math" --model science="$directory/science" --model coding="$directory/coding"
node bin/branchmerge.js report "$directory/merged"
node bin/branchmerge.js report "$directory/merged" --out "$directory/heat-map.svg" --overwrite
