#!/usr/bin/env bash
# The tests of the trainer's parallel part: alone, and on real processes under mpirun.
#
#   test/parallel.sh build/asan     the build directory with branchmerge_sft_parallel_test
set -euo pipefail
program=$1/branchmerge_sft_parallel_test

"$program"
if ! command -v mpirun > /dev/null; then
  echo 'Expected mpirun: install the Debian packages libopenmpi-dev and openmpi-bin, or run test/setup.sh' >&2
  exit 1
fi

# OpenMPI refuses to run as root, or more processes than there are slots or cores, without being told. Its own leaks are not
# ours.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=detect_leaks=0
on_processes() { timeout 120 mpirun --bind-to none -n "$1" --host "localhost:$1" "$program" "${@:2}"; }

on_processes 2
on_processes 4

expect_failure() {
  local wanted=$1 output status=0
  output=$("${@:2}" 2>&1) || status=$?
  if [ $status -eq 0 ] || [ $status -eq 124 ] || ! grep -q "$wanted" <<< "$output"; then
    printf 'Expected a failure with %s but received status %s and\n%s\n' "$wanted" $status "$output" >&2
    exit 1
  fi
}
# Each of the processes that srun starts without a PMI that MPI understands is a world of its own.
expect_failure 'ERR_MPI: Expected as many processes' \
  env SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=4 timeout 60 "$program"
# OpenMPI does not always get to print that it was invoked; then the processes that waited tell what ended them.
expect_failure 'MPI_ABORT was invoked\|Termination request signal' on_processes 3 --no-skip --test-case='abort ends*'
