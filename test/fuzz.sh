#!/usr/bin/env bash
# Fuzzes the header parser for SECONDS (20 by default), from the files of test/native/corpus/header and what earlier
# runs found. An input that fails is left in build/fuzz.
#
#   test/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}

probe=$(mktemp)
trap 'rm -f "$probe"' EXIT
if ! echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
  clang++ -fsanitize=fuzzer,address -x c++ -o "$probe" - 2> /dev/null; then
  echo 'Expected Clang with libFuzzer: install the Debian packages clang and libclang-rt-14-dev, or run test/setup.sh' >&2
  exit 1
fi

mkdir -p build/fuzz/found
CXX=clang++ cmake -S . -B build/fuzz -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBRANCHMERGE_FUZZ=ON -DBRANCHMERGE_CUDA=OFF \
  -DBRANCHMERGE_SANITIZE=address,undefined > build/fuzz.log || { cat build/fuzz.log >&2; exit 1; }
cmake --build build/fuzz --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" --target header_fuzzer
build/fuzz/header_fuzzer -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
  -dict=test/native/header.dict -artifact_prefix=build/fuzz/ -print_final_stats=1 -verbosity=0 \
  build/fuzz/found test/native/corpus/header
