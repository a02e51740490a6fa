#!/usr/bin/env bash
# Every test on a Debian or Ubuntu machine with Node and npm: sets up, checks, runs the tests, the native tests under
# sanitizers, and the fuzzer briefly. Runs all of them even if one fails; the last line counts what passed.
set -euo pipefail
cd "$(dirname "$0")/.."

test/setup.sh

passed=0
failed=0
count() {
  passed=$((passed + $1))
  failed=$((failed + $2))
}

run() {
  echo "==== $*"
  if "$@"; then
    count 1 0
  else
    count 0 1
    echo "==== failed: $*" >&2
  fi
}

# Its tests count one by one; a run that reports none, or fails without a failed test (an unhandled error), is a failure.
run_vitest() {
  local report=build/vitest.json status=0
  echo '==== vitest'
  rm -f "$report"
  npx vitest run --reporter=default --reporter=json --outputFile.json="$report" || status=$?
  local totals
  totals=$(node -e '
    const report = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"))
    const failed = report.numFailedTests + report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length
    console.log(report.numPassedTests, failed)' "$report") || totals='0 1'
  if [ $status -ne 0 ] && [ "${totals#* }" = 0 ]; then totals="${totals% *} 1"; fi
  # shellcheck disable=SC2086
  count $totals
}

run npm run --silent check
run_vitest
run npm run --silent test:asan
run npm run --silent fuzz

echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
