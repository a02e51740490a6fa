#!/usr/bin/env bash
# Fuses a pair of small checkpoints and shows the summary, on a Debian or Ubuntu machine with Node and npm: installs what
# is missing, builds, makes two Qwen2-shaped fine-tunes of one base model, fuses them.
#
#   examples/fuse-pair.sh [DIR]    where the checkpoints go; build/example by default
set -euo pipefail
directory=$(realpath -m "${1:-$(dirname "$0")/../build/example}")
cd "$(dirname "$0")/.."

test/setup.sh build
node bench/makePair.js tiny "$directory"
node bin/branchmerge.js fuse "$directory/left" "$directory/right" --out "$directory/merged" --overwrite
node bin/branchmerge.js inspect "$directory/merged"
