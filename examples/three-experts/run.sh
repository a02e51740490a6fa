#!/usr/bin/env bash
# From nothing to a merged model, in minutes on two cores, on a Debian or Ubuntu machine with Node and npm: installs what is
# missing, builds, makes a model of 4.8 million random parameters, trains it to answer at all, fine-tunes an expert of each of
# three tasks from it, merges the three, and asks all five models questions that none was trained on.
#
#   examples/three-experts/run.sh [DIR]    where everything goes; build/three-experts by default
set -euo pipefail
here=$(realpath "$(dirname "$0")")
directory=$(realpath -m "${1:-$here/../../build/three-experts}")
"$here/../../test/setup.sh" build
# Models that are directories are asked through llama.cpp.
"$here/../../test/llama/install.sh"
BRANCHMERGE_LLAMA=$(realpath "$here/../../test/llama/node_modules/node-llama-cpp")
export BRANCHMERGE_LLAMA
branchmerge() { node "$here/../../bin/branchmerge.js" "$@"; }

mkdir -p "$directory"
cp "$here"/*.yaml "$directory"
node "$here/makeData.js" "$directory/data"
cd "$directory"

branchmerge init --size 5m --train-tokenizer data/text.txt --vocab-size 300 --out random
for run in base math science coding; do
  echo
  echo "== $run"
  branchmerge sft "$run.yaml"
done
echo
branchmerge merge '(math & science) & coding' --model math=math --model science=science --model coding=coding --out merged
echo
echo '== evaluation'
branchmerge evaluate evaluation.yaml > evaluation.log
branchmerge compare results --baseline base --merged merged
