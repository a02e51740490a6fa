#!/usr/bin/env bash
# Everything that needs a GPU: builds; holds the golden cases and a whole pair on the device to the CPU's bytes; looks for
# wrong accesses and races with compute-sanitizer; measures each kernel against the device's copy bandwidth, a fusion against
# one read of both sides and one write, the textbook method in PyTorch where there is one, and a pair of checkpoints end to
# end. A table on standard output, everything in bench/results/<date>-<device>-gpu.json.
#
# IT HAS NOT RUN ON A GPU YET: none was at hand when it was written. Only its dry run has.
#
#   bench/gpu.sh [--dir DIRECTORY] [--pair 2gb] [--rounds 3] [--device 0]
#   bench/gpu.sh --dry-run    builds, and runs the kernels' program on the CPU: shows that it works, measures nothing
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}

if [ "${1:-}" = --dry-run ]; then
  cmake -S . -B build/native-tests -DBRANCHMERGE_TESTS=ON -DBRANCHMERGE_CUDA=OFF > /dev/null
  cmake --build build/native-tests --parallel "$jobs" --target branchmerge_emulated_gpu
  build/native-tests/branchmerge_emulated_gpu --small > build/emulated-gpu.json
  echo "$(grep -c '"rows"' build/emulated-gpu.json) shapes, all kernels"
  exit
fi

for tool in nvcc nvidia-smi; do
  if ! command -v "$tool" > /dev/null; then
    echo "Expected $tool: this benchmark needs a GPU, its driver and the CUDA toolkit. --dry-run needs none of them." >&2
    exit 1
  fi
done

# The sanitizer's own device; the rest is for bench/gpu.js.
device=0
arguments=("$@")
for i in "${!arguments[@]}"; do
  if [ "${arguments[i]}" = --device ]; then device=${arguments[i + 1]:?--device needs a number}; fi
done

npm run --silent build
cmake -S . -B build/bench-programs -DBRANCHMERGE_BENCH=ON -DBRANCHMERGE_CUDA=ON -DCMAKE_BUILD_TYPE=Release > /dev/null
cmake --build build/bench-programs --parallel "$jobs"

if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck; do
    echo "== compute-sanitizer --tool $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 1 build/bench-programs/gpu --small --device "$device" > /dev/null
  done
else
  echo 'Expected compute-sanitizer, of the CUDA toolkit: going on without it' >&2
fi

node bench/gpu.js "${arguments[@]}"
