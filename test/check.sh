#!/usr/bin/env bash
# Types, lint and format of TypeScript and C++, and a build of everything in which warnings are errors.
#
#   npm run check     reports
#   npm run format    rewrites what can be rewritten (test/check.sh --fix)
#   test/check.sh --without-cpp-lint   all but lint and format of C++, for machines that cannot have LLVM 14
#
# C++ is formatted and linted by one version of LLVM, for others see some things differently: 14, which Debian 12 and
# Ubuntu 22.04 and 24.04 have (clang-format-14, clang-tidy-14). Whoever builds or tests needs neither.
set -euo pipefail
cd "$(dirname "$0")/.."

llvm=14
find_llvm_tool() {
  local tool
  for tool in "$1-$llvm" "$1"; do
    if "$tool" --version 2> /dev/null | grep -q "version $llvm\."; then
      echo "$tool"
      return
    fi
  done
  echo "Expected $1-$llvm, which defines the result: install the Debian package of that name (Debian 12 has it)" >&2
  return 1
}
mapfile -t sources < <(find native test/native bench/native -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | sort)

if [ "${1:-}" = --fix ]; then
  clang_format=$(find_llvm_tool clang-format)
  npx biome check --write .
  "$clang_format" -i "${sources[@]}"
  exit
fi

failures=()
step() {
  echo "== $1"
  shift
  "$@" || failures+=("$*")
}

check_types() { npx tsc -p . --noEmit && npx tsc -p tsconfig.test.json; }
check_cpp_format() {
  local tool
  tool=$(find_llvm_tool clang-format) && "$tool" --dry-run -Werror "${sources[@]}"
}
check_cpp_lint() {
  local tool
  tool=$(find_llvm_tool clang-tidy) && node test/lintCpp.js "$tool" build/check "${sources[@]}"
}

step 'types' check_types
step 'TypeScript lint and format' npx biome ci --error-on-warnings .
if [ "${1:-}" != --without-cpp-lint ]; then step 'C++ format' check_cpp_format; fi
step 'build with warnings as errors' test/build.sh
if [ "${1:-}" != --without-cpp-lint ]; then step 'C++ lint' check_cpp_lint; fi
if [ -d build/check/cuda ]; then step 'CUDA kernels' test/cudaKernels.sh build/check sm_90; fi

if [ ${#failures[@]} -gt 0 ]; then
  printf 'Failed: %s\n' "${failures[@]}" >&2
  exit 1
fi
echo 'All checks passed'
