#!/usr/bin/env bash
# Installs what a Debian or Ubuntu machine with Node and npm lacks, then the npm packages, then builds.
# Quick when there is nothing to do.
#
#   test/setup.sh build   what building and running needs
#   test/setup.sh         that, and what the tests and checks need
set -euo pipefail
cd "$(dirname "$0")/.."

if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; then
  echo "Expected Node 20.19 or newer but found $(node --version 2>&1 || echo none)" >&2
  exit 1
fi

missing=()
need_command() { command -v "$1" > /dev/null || missing+=("$2"); }
need_file() { compgen -G "$1" > /dev/null || missing+=("$2"); }

install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get > /dev/null; then
    echo "Expected the tools of these Debian packages, or apt-get to install them with: ${missing[*]}" >&2
    return 1
  fi
  local as_root=(env DEBIAN_FRONTEND=noninteractive)
  [ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
  echo "Installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  prefer_version_14
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
  missing=()
}

# The format and the lint of C++ are defined by LLVM 14; a distribution without it gives its own version.
prefer_version_14() {
  local i
  for i in "${!missing[@]}"; do
    case ${missing[i]} in
      clang-format | clang-tidy)
        if apt-cache show "${missing[i]}-14" > /dev/null 2>&1; then missing[i]+=-14; fi
        ;;
    esac
  done
}

need_command c++ build-essential
need_command make build-essential
need_command cmake cmake
# The trainer needs a BLAS, and MPI to train in several processes.
need_file '/usr/include/*/cblas.h' libopenblas-dev
need_command mpicxx libopenmpi-dev
need_command mpirun openmpi-bin
if [ "${1:-}" != build ]; then
  need_command clang++ clang
  command -v clang-format-14 > /dev/null || need_command clang-format clang-format
  command -v clang-tidy-14 > /dev/null || need_command clang-tidy clang-tidy
  need_file /usr/include/doctest/doctest.h doctest-dev
  # A merge over a cluster is tested on a real Slurm. Its daemons may lie outside a user's PATH.
  need_file /usr/sbin/munged munge
  need_file /usr/sbin/slurmctld slurmctld
  need_file /usr/sbin/slurmd slurmd
  need_command sbatch slurm-client
fi
install_missing

if [ "${1:-}" != build ]; then
  # The runtime of libFuzzer and the sanitizers is a package of its own, of Clang's own version.
  runtime=$(clang++ -print-runtime-dir)
  version=$(clang++ -dumpversion)
  need_file "$runtime/libclang_rt.fuzzer*" "libclang-rt-${version%%.*}-dev"
  install_missing
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund
fi
if [ "${1:-}" != build ]; then test/llama/install.sh; fi

CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
export CMAKE_BUILD_PARALLEL_LEVEL
if [ "${1:-}" = build ]; then
  npm run --silent build
else
  test/build.sh
  npm run --silent build:ts
fi
