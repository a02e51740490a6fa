#!/usr/bin/env bash
# Builds everything but the fuzzers, the addon and the trainer into build/Release and the rest into build/check, or only some
# targets. Whoever comes while another one builds waits.
#
#   test/build.sh [TARGET ...]           as developers do: warnings are errors
#   test/build.sh --quick [TARGET ...]   what tests need: warnings are warnings, no benchmarks, CUDA kernels (where there is
#                                        nvcc) as PTX alone, which drivers compile for their GPU
set -euo pipefail
cd "$(dirname "$0")/.."

options=(--CDBRANCHMERGE_WERROR=ON --CDBRANCHMERGE_BENCH=ON --CDBRANCHMERGE_CUDA_CODE=)
if [ "${1:-}" = --quick ]; then
  shift
  options=(--CDBRANCHMERGE_WERROR=OFF --CDBRANCHMERGE_BENCH=OFF
    '--CDBRANCHMERGE_CUDA_CODE=-gencode=arch=compute_80,code=compute_80')
fi

mkdir -p build
exec {lock}> build/check.lock
flock "$lock"
npx cmake-js configure --silent --config Release --out build/check --CDCMAKE_EXPORT_COMPILE_COMMANDS=ON \
  --CDBRANCHMERGE_TESTS=ON "${options[@]}"
cmake --build build/check --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" --target "${@:-all}"
