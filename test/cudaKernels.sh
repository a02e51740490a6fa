#!/usr/bin/env bash
# What nvcc made of the CUDA kernels in the folder of a build: that their arithmetic is correctly rounded throughout, and a table
# of registers, shared memory, stack and spills (bytes) of each and of the functions it calls.
#
#   test/cudaKernels.sh build/check [sm_90]   one architecture, or all
set -euo pipefail

cd "$(dirname "$0")/.."
build=${1:?Expected the folder of a build as the first argument, such as build/check}
architecture=${2:-}
logs=("$build"/cuda/*.log)
if [ ! -e "${logs[0]}" ]; then
  echo "Expected the reports of nvcc in $build/cuda but found none: configure with BRANCHMERGE_CUDA=ON and build" >&2
  exit 1
fi

# One file for each working precision: the others differ in how elements are stored. PTX says .rn where a result is rounded
# correctly, and .approx, .full or .ftz where it is not; only integers are added up by atomics.
check_arithmetic() {
  local nvcc source ptx
  nvcc=$(sed -n 's/^BRANCHMERGE_NVCC_PROGRAM:.*=//p' "$build/CMakeCache.txt")
  for source in bf16_in_float32 f64_in_float64; do
    ptx=$("$nvcc" -std=c++20 -O3 -fmad=false -Inative -arch=compute_80 -ptx "native/fusion/cuda/$source.cu" -o -)
    if ! grep -q 'fma\.rn\.f' <<< "$ptx"; then
      echo "Expected PTX of $source.cu with fma.rn but found none" >&2
      return 1
    fi
    if grep -nE '\.(approx|full|ftz|rz|rm|rp)[.[:space:]]|(atom|red)\.[a-z.]*\.f(16|32|64)' <<< "$ptx"; then
      echo "Expected correctly rounded operations and no floating-point atomics in $source.cu" >&2
      return 1
    fi
  done
  echo 'PTX: correctly rounded operations only, no floating-point atomics'
}
check_arithmetic

# ptxas: "Compiling entry function 'NAME' for 'ARCH'", "Function properties for NAME", "N bytes stack frame, …", "Used N
# registers, …". The first properties after an entry are its own; those of the functions that it calls come before.
c++filt < <(cat "${logs[@]}") | awk -v wanted="$architecture" '
  function short(name) {
    gsub(/branchmerge::(cuda|formats)?(::)?/, "", name)
    gsub(/\(anonymous namespace\)::/, "", name)
    gsub(/_INTERNAL_[0-9a-z_]+::/, "", name)
    sub(/^(void|float|double) /, "", name)
    sub(/\(.*/, "", name)
    return name
  }
  /Compiling entry function/ {
    split($0, part, "\047")
    kernel = short(part[2]); arch = part[4]; callee = ""
  }
  /Function properties for/ {
    name = $0; sub(/.*Function properties for /, "", name); name = short(name)
    callee = name == kernel ? "" : name
  }
  /bytes stack frame/ {
    if (callee != "") print_row("  calls " callee, "", "", $1, $5, $9)
    else { stack = $1; stores = $5; loads = $9 }
  }
  /Used [0-9]+ registers/ {
    match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
    shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) : 0
    print_row(kernel, registers, shared, stack, stores, loads)
  }
  function print_row(name, registers, shared, stack, stores, loads) {
    if (wanted != "" && arch != wanted) return
    printf "%-8s %-56s %9s %7s %6s %7s %6s\n", arch, name, registers, shared, stack, stores, loads
  }
  BEGIN { printf "%-8s %-56s %9s %7s %6s %7s %6s\n", "arch", "kernel", "registers", "shared", "stack", "stores", "loads" }'
