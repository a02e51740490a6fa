#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/runtime.h"

namespace branchmerge::cuda {

/// Puts a kernel into a stream; `doing` as for check().
template <class... Parameters, class... Arguments>
void launch(const char* doing, void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
            size_t shared_bytes, cudaStream_t stream, const Arguments&... arguments) {
  if (blocks == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), doing);
}

/// An attribute of the current device.
inline unsigned device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "tell which it is");
  check(cudaDeviceGetAttribute(&value, attribute, device), "tell its properties");
  return unsigned(value);
}

/// Lets a kernel use all the dynamic shared memory that a block can have beside `static_bytes` of its own:
/// how much.
template <class Kernel>
size_t allow_shared_memory(Kernel* kernel, size_t static_bytes) {
  constexpr size_t kSlack = 256;  // for alignment
  const size_t limit = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) - static_bytes - kSlack;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(limit)),
        "give a kernel its shared memory");
  // Otherwise the driver may leave more of it to the L1 cache, and fewer blocks fit.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared),
        "give a kernel its shared memory");
  return limit;
}

/// Blocks of a launch that collects scores: no more than there are runs for.
template <class Brackets>
uint64_t within_runs(uint64_t blocks, const Brackets& brackets) {
  return brackets.runs == 0 ? blocks : std::min<uint64_t>(blocks, brackets.runs / brackets.runs_per_block);
}

/// Blocks that the device holds at a time: a launch of so many, each of which takes its share of the work in
/// turn, has no last wave that leaves most of the device idle.
template <class Kernel>
unsigned resident_blocks(Kernel* kernel, unsigned threads, size_t shared_bytes) {
  int blocks = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, int(threads), shared_bytes),
        "tell how many blocks it holds");
  return (blocks < 1 ? 1 : unsigned(blocks)) * device_attribute(cudaDevAttrMultiProcessorCount);
}

}  // namespace branchmerge::cuda
