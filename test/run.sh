#!/usr/bin/env bash
# Every test on a Debian or Ubuntu machine with Node and npm: sets up, checks, runs the tests, the native tests under
# sanitizers, the fuzzer briefly, and uses the packed tarball. Runs all of them even if one fails; the last line counts
# what passed.
#
# Steps run side by side. Tests watch the clock, so what only computes yields to them, and fills what their waits leave. The
# output of a step is shown when it is over, and kept in build/logs.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=build/logs
mkdir -p "$logs"
rm -f "$logs"/*
passed=0
failed=()
declare -A name_of

finish() {
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
  echo "==== $name: started, log in $logs/$name.log"
  set -m
  (
    TIMEFORMAT='%0R s, of which %0U s + %0S s on a core'
    { time "${@:2}" > "$logs/$name.log" 2>&1 < /dev/null; } 2> "$logs/$name.time"
  ) &
  set +m
  name_of[$!]=$name
}

# Waits until a step is over, and shows and counts it.
wait_for_one() {
  local pid status=0
  wait -n -p pid "${!name_of[@]}" || status=$?
  name=${name_of[$pid]}
  unset "name_of[$pid]"
  echo "==== $name: $([ $status -eq 0 ] && echo passed || echo "FAILED, status $status"), $(tail -n 1 "$logs/$name.time")"
  cat "$logs/$name.log"
  case $name in
    vitest) count_vitest $status ;;
    asan-build) ;;
    *) count $status ;;
  esac
}

count() {
  if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else failed+=("$name"); fi
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
}

echo '==== setup'
if ! test/setup.sh; then
  failed+=(setup)
  finish
  exit
fi

start vitest npx vitest run --reporter=default --reporter=json --outputFile.json="$logs/vitest.json"
start asan-build nice -n 10 test/asan.sh build
start check nice -n 19 npm run --silent check
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

if [ ${#failed[@]} -gt 0 ]; then printf '==== failed: %s\n' "${failed[@]}" | sort | uniq -c; fi
finish
