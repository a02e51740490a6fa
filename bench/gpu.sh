#!/usr/bin/env bash
# Everything that needs a GPU, in one run of ten minutes at most: builds; holds fusions on the device (golden cases, awkward
# shapes, large tensors) to the CPU's bytes and figures; measures each kernel and whole fusions against what the device
# copies, the textbook method in PyTorch on the same tensors, checkpoints end to end, and the command; looks for wrong
# accesses and races with compute-sanitizer.
#
# IT HAS NOT RUN ON A GPU YET: none was at hand when it was written. Only its dry run has.
#
#   bench/gpu.sh [--device 0] [--minutes 9] [--dir build/bench] [--results bench/results] [--commit ID]
#   bench/gpu.sh --dry-run    the same with small shapes on the emulation: shows that it works, measures nothing
#
# Needs the driver and a C++ compiler with CMake and nvcc, or what an earlier run has built (build/gpu/gpu). Without Node,
# PyTorch or compute-sanitizer it leaves out what needs them, and says so. A part that fails, or takes too long, is
# recorded, and the others go on.
#
# Results are objects of JSON, one a line, in RESULTS/<date>-<time>-<device>-gpu.jsonl: what a part has found is there as
# soon as it has, and then {"part": "end of …", "status": exit code, "seconds": …}, with its last words where it failed.
# The exit code is 1 when a part has failed.
set -euo pipefail
cd "$(dirname "$0")/.."

device=0 minutes=9 directory=build/bench results=bench/results commit='' dry_run=''
command="bench/gpu.sh $*"
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=${2:?--device needs a number} && shift 2 ;;
    --minutes) minutes=${2:?--minutes needs a number} && shift 2 ;;
    --dir) directory=${2:?--dir needs a directory} && shift 2 ;;
    --results) results=${2:?--results needs a directory} && shift 2 ;;
    --commit) commit=${2:?--commit needs what git rev-parse HEAD says} && shift 2 ;;
    --dry-run) dry_run=yes && shift ;;
    *) echo "Expected --device, --minutes, --dir, --results, --commit or --dry-run but received '$1'" >&2 && exit 2 ;;
  esac
done
deadline=$((SECONDS + minutes * 60))
# The numbers of nvidia-smi are CUDA's, too.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
jobs=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
: "${commit:=$(git rev-parse HEAD 2> /dev/null || echo unknown)}"

if [ -n "$dry_run" ]; then
  name=emulated results=build
  build_directory=build/native-tests program=build/native-tests/branchmerge_emulated_gpu
  small=(--small)
else
  if ! command -v nvidia-smi > /dev/null; then
    echo 'Expected nvidia-smi: this benchmark needs a GPU and its driver. --dry-run needs neither.' >&2
    exit 1
  fi
  name=$(nvidia-smi --id="$device" --query-gpu=name --format=csv,noheader | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9\n' '-')
  build_directory=build/gpu program=build/gpu/gpu
  small=()
fi

work=$(mktemp -d)
mkdir -p "$directory" "$results"
checkpoints=$(mktemp -d "$directory/gpu-XXXXXX")
in_memory=''
trap 'rm -rf "$work" "$checkpoints" ${in_memory:+"$in_memory"}' EXIT
output=$results/$(date +%F-%H%M)-$name-gpu.jsonl
: > "$output"

# The text of standard input as a string of JSON.
json_string() {
  { cat && echo; } | tr -d '\000-\010\013-\037' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\t/\\t/g' | sed -z -e 's/\n*$//' -e 's/\n/\\n/g' -e 's/.*/"&"/'
}
text() { printf '%s' "$1" | json_string; }

failed=()

# part NAME SECONDS COMMAND...: its standard output are results; SECONDS at most, and no more than are left.
part() {
  local part=$1 limit=$2 left=$((deadline - SECONDS)) started=$SECONDS status=0
  shift 2
  echo "== $part" >&2
  if [ $left -lt 5 ]; then
    end_of "$part" 124 0 'no time was left'
    return 0
  fi
  timeout --kill-after=5 $((limit < left ? limit : left)) "$@" >> "$output" 2> "$work/log" || status=$?
  # A line that was cut off.
  if [ -n "$(tail -c 1 "$output")" ]; then echo >> "$output"; fi
  cat "$work/log" >&2
  end_of "$part" $status $((SECONDS - started)) "$(tail -n 20 "$work/log")"
}

# end_of NAME STATUS SECONDS MESSAGE
end_of() {
  local message=''
  if [ "$2" -ne 0 ]; then
    failed+=("$1")
    message=", \"message\": $(text "$4")"
    echo "== failed with $2: $1" >&2
  fi
  printf '{"part": "end of %s", "status": %d, "seconds": %d%s}\n' "$1" "$2" "$3" "$message" >> "$output"
}

left_out() {
  echo "== left out: $1, for $2" >&2
  printf '{"part": "left out", "what": %s, "because": %s}\n' "$(text "$1")" "$(text "$2")" >> "$output"
}

describe_machine() {
  printf '{"part": "machine", "date": %s, "command": %s, "commit": %s, "cpu": %s, "cores": %d, "kernel": %s, "memory": %s}\n' \
    "$(text "$(date -u +%FT%TZ)")" "$(text "$command")" "$(text "$commit")" \
    "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1 | json_string)" "$(nproc)" "$(uname -r | json_string)" \
    "$(sed -n 's/^MemTotal: *//p' /proc/meminfo | json_string)"
}

# Clocks and temperature tell whether the device was its usual self.
describe_gpu() {
  local fields=name,driver_version,vbios_version,pcie.link.gen.current,pcie.link.width.current,clocks.sm,clocks.mem
  fields+=,temperature.gpu,power.draw,ecc.mode.current,memory.used
  printf '{"part": "nvidia-smi", "fields": %s, "values": %s}\n' "$(text "$fields")" \
    "$(timeout 20 nvidia-smi --id="$device" --query-gpu="$fields" --format=csv,noheader 2>&1 | json_string)"
}

build() {
  local options=(-DBRANCHMERGE_BENCH=ON -DBRANCHMERGE_CUDA=ON -DCMAKE_BUILD_TYPE=Release) target=gpu
  # What every nvcc 12 knows, for this device alone: quicker than for all of them.
  case $(nvidia-smi --id="$device" --query-gpu=compute_cap --format=csv,noheader 2> /dev/null) in
    8.0) options+=("-DBRANCHMERGE_CUDA_CODE=-gencode=arch=compute_80,code=sm_80") ;;
    9.0) options+=("-DBRANCHMERGE_CUDA_CODE=-gencode=arch=compute_90,code=sm_90") ;;
  esac
  if [ -n "$dry_run" ]; then
    options=(-DBRANCHMERGE_TESTS=ON -DBRANCHMERGE_CUDA=OFF) target=branchmerge_emulated_gpu
  fi
  # What they print are no results.
  part configure 60 sh -c 'exec "$@" >&2' - cmake -S . -B $build_directory "${options[@]}"
  part build 300 sh -c 'exec "$@" >&2' - cmake --build $build_directory --parallel "$jobs" --target $target
}

measure_textbook() {
  if [ -n "$dry_run" ] || ! python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
    left_out textbook 'there is no PyTorch with a GPU'
    return
  fi
  part textbook 90 python3 bench/textbook.py "$device" "$work" 5120x5120 27648x5120 5120x27648 152064x5120
}

# In memory where there is room for four files of 2 GB, which shows the link to the device; and on a disk.
measure_checkpoints() {
  if [ "$(df --output=avail /dev/shm 2> /dev/null | tail -n 1)" -gt 10000000 ]; then
    in_memory=$(mktemp -d /dev/shm/branchmerge-gpu-XXXXXX)
    part 'checkpoints in memory' 60 "$program" checkpoints --device "$device" "${small[@]}" --dir "$in_memory"
    rm -rf "$in_memory"
  else
    left_out 'checkpoints in memory' '/dev/shm has less than 10 GB'
  fi
  part checkpoints 90 "$program" checkpoints --device "$device" "${small[@]}" --dir "$checkpoints"
}

# The checkpoints that were measured before, as a user would fuse them.
measure_command() {
  if ! command -v node > /dev/null || [ ! -d node_modules ]; then
    left_out 'the command' 'there is no Node, or npm ci has not run'
    return
  fi
  if [ -z "$dry_run" ]; then part 'build of the command' 180 sh -c 'exec npm run --silent build >&2'; fi
  part 'the command' 90 node bench/gpu.js "$checkpoints" "$([ -n "$dry_run" ] && echo cpu || echo "cuda:$device")"
}

sanitize() {
  local sanitizer tool
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null || true)
  if [ -n "$dry_run" ] || [ -z "$sanitizer" ]; then
    left_out compute-sanitizer 'there is none'
    return
  fi
  for tool in memcheck racecheck; do
    part "$tool, fusions" 60 "$sanitizer" --tool $tool --error-exitcode 9 "$program" check --small --golden test/golden \
      --device "$device"
    part "$tool, kernels" 60 "$sanitizer" --tool $tool --error-exitcode 9 "$program" kernels --small --device "$device"
  done
}

describe_machine >> "$output"
if [ -z "$dry_run" ]; then describe_gpu >> "$output"; fi
build
if [ ! -x "$program" ]; then
  echo "Expected $program: it was not built, and no earlier run has left it. See $output" >&2
  exit 1
fi
part device 30 "$program" device --device "$device" "${small[@]}"
part check 60 "$program" check --device "$device" "${small[@]}" --golden test/golden
part kernels 60 "$program" kernels --device "$device" "${small[@]}" --tile "$work"
measure_textbook
measure_checkpoints
sanitize
measure_command
if [ -z "$dry_run" ]; then describe_gpu >> "$output"; fi

echo "Everything is in $output"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'Failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
