#!/usr/bin/env bash
# The tests, on a Debian or Ubuntu machine with Node and npm: sets up, and prints a line for each step and what failed of it. The
# last line counts what passed.
#
#   test/run.sh                what shows in minutes that all of it works on this machine
#   test/run.sh --all          and lint, sanitizers, the fuzzer, the packed package, Slurm, kernels for every GPU, and as many
#                              rounds of everything that is killed at random as it takes to find rare cases; what CI runs
#   test/run.sh --no-install   names missing Debian packages instead of installing them (npm test)
#
# Runs every step even if one fails. Steps run side by side: what only computes yields to the tests, and fills what their waits
# leave. The output of each is kept in build/logs.
set -euo pipefail
cd "$(dirname "$0")/.."

all=false
for argument; do
  case $argument in
    --all) all=true ;;
    --no-install) export BRANCHMERGE_NO_INSTALL=1 ;;
    *)
      echo "Expected --all or --no-install but received $argument" >&2
      exit 2
      ;;
  esac
done
if ! $all; then export BRANCHMERGE_TEST_QUICK=1; fi

logs=build/logs
mkdir -p "$logs"
rm -f "$logs"/*.{log,time,json}
passed=0
failed=()
declare -A name_of

finish() {
  if [ ${#failed[@]} -gt 0 ]; then echo "Failed: $(printf '%s\n' "${failed[@]}" | uniq | paste -sd ' '). Logs are in $logs"; fi
  echo "$passed passed, ${#failed[@]} failed"
  [ ${#failed[@]} -eq 0 ] && [ "$passed" -gt 0 ]
}

# Each step has a process group, so that all of it ends with this script.
stop() {
  local pid
  for pid in "${!name_of[@]}"; do kill -TERM -- "-$pid" 2> /dev/null || true; done
  exit 130
}
trap stop INT TERM

start() {
  local name=$1
  set -m
  (
    TIMEFORMAT='%0R s (%0U s + %0S s of a core)'
    { time "${@:2}" > "$logs/$name.log" 2>&1 < /dev/null; } 2> "$logs/$name.time"
  ) &
  set +m
  name_of[$!]=$name
}

# Waits until a step is over, tells of it and counts it.
wait_for_one() {
  local pid status=0 more=''
  wait -n -p pid "${!name_of[@]}" || status=$?
  name=${name_of[$pid]}
  unset "name_of[$pid]"
  case $name in
    check) if ! $cpp_lint; then more=' (C++ lint and format left out: they need LLVM 14, which Debian 12 has)'; fi ;;&
    vitest) count_vitest $status ;;
    setup | asan-build) if [ $status -ne 0 ]; then failed+=("$name"); fi ;;
    *) if [ $status -eq 0 ]; then passed=$((passed + 1)); else failed+=("$name"); fi ;;
  esac
  printf '%-12s %s%s, %s\n' "$name" "$([ $status -eq 0 ] && echo passed || echo "FAILED (status $status)")" "$more" \
    "$(tail -n 1 "$logs/$name.time")"
  if [ $status -ne 0 ]; then show_failure "$name"; fi
}

# Its tests count one by one; a run that reports none, or fails without a failed test (an unhandled error), is a failure.
count_vitest() {
  local totals
  totals=$(node -e '
    const report = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"))
    const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0)
    console.log(report.numPassedTests, report.numFailedTests + broken.length)' "$logs/vitest.json") || totals='0 1'
  if [ "$1" -ne 0 ] && [ "${totals#* }" = 0 ]; then totals="${totals% *} 1"; fi
  passed=$((passed + ${totals% *}))
  for ((i = 0; i < ${totals#* }; i++)); do failed+=(vitest); done
  more=" (${totals% *} tests)"
}

# Of Vitest, what it says at the end of the tests that failed; of others, the end.
show_failure() {
  local log=$logs/$1.log
  if [ "$1" = vitest ] && grep -qE 'Failed (Tests|Suites)|Unhandled' "$log"; then
    sed -nE '/Failed (Tests|Suites)|Unhandled/,$p' "$log"
  elif [ "$(wc -l < "$log")" -gt 80 ]; then
    head -n 20 "$log"
    echo '...'
    tail -n 60 "$log"
  else
    cat "$log"
  fi | sed 's/^/  | /'
}

native_tests() {
  local name
  for name in native cuda sft sft_train sandbox; do
    echo "== branchmerge_${name}_test"
    "build/check/branchmerge_${name}_test"
  done
  test/parallel.sh build/check
}

start setup test/setup.sh "$($all && echo all || echo test)"
wait_for_one
if [ ${#failed[@]} -gt 0 ]; then
  finish
  exit
fi

start vitest npx vitest run --no-color --reporter=default --reporter=json --outputFile.json="$logs/vitest.json"
if ! $all; then
  start native nice -n 10 "$BASH" -c "$(declare -f native_tests); set -e; native_tests"
  while [ ${#name_of[@]} -gt 0 ]; do wait_for_one; done
  finish
  exit
fi

start asan-build nice -n 10 test/asan.sh build
# The version of LLVM that test/check.sh names. test/setup.sh has installed it where the distribution has it.
cpp_lint=true
check_options=()
has_llvm() { command -v clang-tidy-14 || clang-tidy --version | grep 'version 14\.' || apt-cache show clang-tidy-14; }
if ! has_llvm > /dev/null 2>&1; then
  cpp_lint=false
  check_options=(--without-cpp-lint)
fi
start check nice -n 19 test/check.sh "${check_options[@]}"
start package nice -n 19 test/package.sh
waits=2
while [ ${#name_of[@]} -gt 0 ]; do
  wait_for_one
  # A core for each: the fuzzer runs for a time, and tests of the trainer have limits.
  case $name in
    vitest | asan-build) waits=$((waits - 1)) ;;
    *) continue ;;
  esac
  if [ $waits -eq 0 ]; then
    start asan npm run --silent test:asan
    start fuzz npm run --silent fuzz
  fi
done
finish
