#!/usr/bin/env bash
# The native tests and the corpus of bad files, under AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   test/asan.sh [build]     with build, only builds them
set -euo pipefail
cd "$(dirname "$0")/.."

if ! echo '#include <doctest/doctest.h>' | c++ -x c++ -E - > /dev/null 2>&1; then
  echo 'Expected doctest: install the Debian package doctest-dev, or run test/setup.sh' >&2
  exit 1
fi

mkdir -p build
# Optimization would take longer than the tests without it.
cmake -S . -B build/asan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO='-Og -DNDEBUG' \
  -DBRANCHMERGE_TESTS=ON -DBRANCHMERGE_CUDA=OFF -DBRANCHMERGE_SANITIZE=address,undefined > build/asan.log ||
  { cat build/asan.log >&2; exit 1; }
cmake --build build/asan --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" \
  --target branchmerge_native_test branchmerge_cuda_test branchmerge_sft_test branchmerge_sft_parallel_test \
  branchmerge_sft_train_test branchmerge_sandbox_test branchmerge_check_files
if [ "${1:-}" = build ]; then exit; fi

build/asan/branchmerge_native_test
build/asan/branchmerge_cuda_test
build/asan/branchmerge_sft_test
build/asan/branchmerge_sft_train_test
build/asan/branchmerge_sandbox_test
test/parallel.sh build/asan

corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
node test/corpus/writeCorpus.js "$corpus"
build/asan/branchmerge_check_files "$corpus/manifest.tsv"
