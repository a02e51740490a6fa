#!/usr/bin/env bash
# Installs what a Debian or Ubuntu machine with Node and npm lacks, then the npm packages, then builds. Quick when there is
# nothing to do.
#
#   test/setup.sh build   what building and running needs
#   test/setup.sh         that, and what the tests need
#   test/setup.sh all     that, and what test/run.sh --all needs: sanitizers, the fuzzer, lint, format, Slurm
#                         and Chromium
#
# With BRANCHMERGE_NO_INSTALL=1 it names the Debian packages that are missing, and installs none.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-test}

if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; then
  echo "Expected Node 20.19 or newer but found $(node --version 2>&1 || echo none)" >&2
  exit 1
fi

missing=()
need_command() { command -v "$1" > /dev/null || missing+=("$2"); }
need_file() { compgen -G "$1" > /dev/null || missing+=("$2"); }

install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=(env DEBIAN_FRONTEND=noninteractive)
  if [ "${BRANCHMERGE_NO_INSTALL:-}" = 1 ]; then
    echo "Expected the tools of these Debian packages: ${missing[*]}. test/setup.sh installs them." >&2
    return 1
  fi
  if ! command -v apt-get > /dev/null; then
    echo "Expected the tools of these Debian packages, or apt-get to install them with: ${missing[*]}" >&2
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo > /dev/null; then
      echo "Expected sudo, to install these Debian packages: ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo "${as_root[@]}")
  fi
  echo "Installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  leave_out_what_is_nowhere
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
  missing=()
}

# Debian 13 has no LLVM 14. test/run.sh says what it leaves out then.
leave_out_what_is_nowhere() {
  local name found=()
  for name in "${missing[@]}"; do
    if [[ $name != *-14 ]] || apt-cache show "$name" > /dev/null 2>&1; then found+=("$name"); fi
  done
  missing=("${found[@]}")
}

need_command c++ build-essential
need_command make build-essential
need_command cmake cmake
# The trainer needs a BLAS, and MPI to train in several processes.
need_file '/usr/include/*/cblas.h' libopenblas-dev
need_command mpicxx libopenmpi-dev
need_command mpirun openmpi-bin
if [ "$what" != build ]; then
  need_file /usr/include/doctest/doctest.h doctest-dev
  # Programs that models write are in Python, and run in a sandbox.
  need_command python3 python3
fi
if [ "$what" = all ]; then
  need_command git git
  need_command clang++ clang
  # The version that test/check.sh asks for.
  need_command clang-format-14 clang-format-14
  need_command clang-tidy-14 clang-tidy-14
  # A merge over a cluster is tested on a real Slurm. Its daemons may lie outside a user's PATH.
  need_file /usr/sbin/munged munge
  need_file /usr/sbin/slurmctld slurmctld
  need_file /usr/sbin/slurmd slurmd
  need_command sbatch slurm-client
  # The page of an evaluation is tested in a browser. Ubuntu has none that is not a snap; the test says so there.
  if ! command -v chromium > /dev/null; then need_command chromium-headless-shell chromium-headless-shell; fi
fi
install_missing

if [ "$what" = all ]; then
  # The runtime of libFuzzer and the sanitizers is a package of its own, of Clang's own version.
  runtime=$(clang++ -print-runtime-dir)
  version=$(clang++ -dumpversion)
  need_file "$runtime/libclang_rt.fuzzer*" "libclang-rt-${version%%.*}-dev"
  install_missing
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund
fi
if [ "$what" != build ]; then test/llama/install.sh; fi

CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
export CMAKE_BUILD_PARALLEL_LEVEL
case $what in
  build) npm run --silent build ;;
  all) test/build.sh && npm run --silent build:ts ;;
  *) test/build.sh --quick && npm run --silent build:ts ;;
esac
