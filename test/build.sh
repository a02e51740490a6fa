#!/usr/bin/env bash
# Builds everything but the fuzzers with warnings as errors, the addon and the trainer into build/Release and the rest into
# build/check, or only some targets. Whoever comes while another one builds waits.
#
#   test/build.sh [TARGET ...]
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p build
exec {lock}> build/check.lock
flock "$lock"
npx cmake-js configure --silent --config Release --out build/check --CDCMAKE_EXPORT_COMPILE_COMMANDS=ON \
  --CDBRANCHMERGE_WERROR=ON --CDBRANCHMERGE_TESTS=ON --CDBRANCHMERGE_BENCH=ON
cmake --build build/check --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" --target "${@:-all}"
