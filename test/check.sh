#!/usr/bin/env bash
# Types, lint and format of TypeScript and C++, and a build of everything in which warnings are errors.
#
#   npm run check     reports
#   npm run format    rewrites what can be rewritten (test/check.sh --fix)
#
# C++ is formatted and linted by LLVM 14 (Debian packages clang-format-14 and clang-tidy-14): other versions see some
# things differently, so outside CI they only advise.
set -euo pipefail
cd "$(dirname "$0")/.."

find_llvm_tool() {
  local tool
  for tool in "$1-14" "$1"; do
    if command -v "$tool" > /dev/null; then
      echo "$tool"
      return
    fi
  done
  echo "Expected $1: install the Debian package $1-14 (or $1), or run test/setup.sh" >&2
  return 1
}
clang_format=$(find_llvm_tool clang-format)
mapfile -t sources < <(find native test/native bench/native -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | sort)

if [ "${1:-}" = --fix ]; then
  npx biome check --write .
  "$clang_format" -i "${sources[@]}"
  exit
fi
clang_tidy=$(find_llvm_tool clang-tidy)

failures=()
step() {
  echo "== $1"
  shift
  "$@" || failures+=("$*")
}

# The version that defines the result fails the check; in CI, so does any other.
step_of_llvm() {
  local tool=$2
  if "$tool" --version | grep -q 'version 14\.' || [ -n "${CI:-}" ]; then
    step "$1" "${@:3}"
  else
    echo "== $1: only advice, $("$tool" --version | grep -o 'version [0-9.]*') is not 14"
    "${@:3}" || true
  fi
}

check_types() { npx tsc -p . --noEmit && npx tsc -p tsconfig.test.json; }
check_cpp_format() { "$clang_format" --dry-run -Werror "${sources[@]}"; }

check_cpp_lint() { node test/lintCpp.js "$clang_tidy" build/check "${sources[@]}"; }

step 'types' check_types
step 'TypeScript lint and format' npx biome ci --error-on-warnings .
step_of_llvm 'C++ format' "$clang_format" check_cpp_format
step 'build with warnings as errors' test/build.sh
step_of_llvm 'C++ lint' "$clang_tidy" check_cpp_lint
if [ -d build/check/cuda ]; then step 'CUDA kernels' test/cudaKernels.sh build/check sm_90; fi

if [ ${#failures[@]} -gt 0 ]; then
  printf 'Failed: %s\n' "${failures[@]}" >&2
  exit 1
fi
echo 'All checks passed'
