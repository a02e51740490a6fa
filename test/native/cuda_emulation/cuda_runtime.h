#pragma once
// What the product uses of CUDA, carried out by the CPU: an include path decides whether `#include
// <cuda_runtime.h>` means this or NVIDIA's. Kernels run with one fiber for each CUDA thread (block.h);
// streams, memory and devices are those of device.h, where failures can be asked for. Names, values and
// meanings are CUDA's.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include "block.h"

#define BRANCHMERGE_CUDA_EMULATION 1
// NOLINTBEGIN: CUDA's names and signatures

// ---- the language --------------------------------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

namespace cuda_emulation {
template <class Read>
struct Component {
  operator unsigned() const { return Read()(); }
};
#define BRANCHMERGE_BUILT_IN(name, source)             \
  struct name {                                        \
    struct ReadX {                                     \
      unsigned operator()() const { return source.x; } \
    };                                                 \
    struct ReadY {                                     \
      unsigned operator()() const { return source.y; } \
    };                                                 \
    struct ReadZ {                                     \
      unsigned operator()() const { return source.z; } \
    };                                                 \
    Component<ReadX> x;                                \
    Component<ReadY> y;                                \
    Component<ReadZ> z;                                \
  }
BRANCHMERGE_BUILT_IN(ThreadIndex, current_thread().index);
BRANCHMERGE_BUILT_IN(BlockIndex, current_block().index);
BRANCHMERGE_BUILT_IN(BlockDimensions, current_block().threads);
BRANCHMERGE_BUILT_IN(GridDimensions, current_block().grid);
}  // namespace cuda_emulation
inline constexpr cuda_emulation::ThreadIndex threadIdx{};
inline constexpr cuda_emulation::BlockIndex blockIdx{};
inline constexpr cuda_emulation::BlockDimensions blockDim{};
inline constexpr cuda_emulation::GridDimensions gridDim{};

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

// Shared memory. A variable of a block in the place of `__shared__ Type name` and `extern __shared__ Type
// name[]`, which C++ cannot say; poisoned when a block begins.
#define BRANCHMERGE_SHARED(Type, name)                    \
  static const char name##_site = 0;                      \
  auto& name = *static_cast<std::type_identity_t<Type>*>( \
      ::cuda_emulation::static_shared(&name##_site, sizeof(Type), alignof(Type)))
#define BRANCHMERGE_DYNAMIC_SHARED(name) \
  unsigned char* const name = static_cast<unsigned char*>(::cuda_emulation::dynamic_shared())

inline void __syncthreads(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
  ::cuda_emulation::synchronize_block(file, line);
}
inline void __syncwarp(unsigned mask = ~0u, const char* file = __builtin_FILE(),
                       unsigned line = __builtin_LINE()) {
  ::cuda_emulation::synchronize_warp(mask, file, line);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  const int own = ::cuda_emulation::lane();
  return ::cuda_emulation::exchange(mask, value, (own & ~(width - 1)) | (lane & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
  const int own = ::cuda_emulation::lane(), source = own ^ with;
  return ::cuda_emulation::exchange(mask, value, (source & -width) <= (own | (width - 1)) ? source : own);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const int own = ::cuda_emulation::lane();
  return ::cuda_emulation::exchange(mask, value, (own & (width - 1)) + int(by) < width ? own + int(by) : own);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const int own = ::cuda_emulation::lane();
  return ::cuda_emulation::exchange(mask, value, (own & (width - 1)) >= int(by) ? own - int(by) : own);
}
template <class T, class Combine>
T branchmerge_reduce_sync(unsigned mask, T value, Combine combine) {
  return ::cuda_emulation::collect<T>(mask, value, [&](const T* lanes) {
    T result = value;
    for (int l = 0; l < 32; l++)
      if ((mask >> l & 1) && l != ::cuda_emulation::lane()) result = combine(result, lanes[l]);
    return result;
  });
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
  return branchmerge_reduce_sync(mask, value, [](unsigned a, unsigned b) { return a + b; });
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  return branchmerge_reduce_sync(mask, value, [](unsigned a, unsigned b) { return a > b ? a : b; });
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  return branchmerge_reduce_sync(mask, value, [](unsigned a, unsigned b) { return a | b; });
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const unsigned own = unsigned(predicate != 0) << ::cuda_emulation::lane();
  return branchmerge_reduce_sync(mask, own, [](unsigned a, unsigned b) { return a | b; });
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

// Blocks run one after the other and threads change places only at barriers: nothing need be atomic. Integers
// only: the order of a floating-point sum would show in its bits.
template <class T>
T branchmerge_atomic(T* address, T value) {
  static_assert(std::is_integral_v<T>, "no floating-point atomics");
  return *address = value;
}
template <class T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  branchmerge_atomic(address, T(old + value));
  return old;
}
template <class T>
T atomicMax(T* address, T value) {
  const T old = *address;
  branchmerge_atomic(address, old > value ? old : value);
  return old;
}
template <class T>
T atomicMin(T* address, T value) {
  const T old = *address;
  branchmerge_atomic(address, old < value ? old : value);
  return old;
}
template <class T>
T atomicOr(T* address, T value) {
  const T old = *address;
  branchmerge_atomic(address, T(old | value));
  return old;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(int(x)); }
inline int __clz(unsigned x) { return x == 0 ? 32 : __builtin_clz(x); }
/// The larger of the upper halves, and of the lower.
inline unsigned __vmaxu2(unsigned a, unsigned b) {
  const unsigned high = std::max(a >> 16, b >> 16), low = std::max(a & 0xffff, b & 0xffff);
  return high << 16 | low;
}
/// c and the halves of a, with sign, times the two lower bytes of b, with sign.
inline int __dp2a_lo(int a, int b, int c) {
  return c + int16_t(a & 0xffff) * int8_t(b & 0xff) + int16_t(unsigned(a) >> 16) * int8_t(b >> 8 & 0xff);
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}
inline void __threadfence() {}

// ---- the runtime library -------------------------------------------------------------------------
enum cudaError {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevicePointer = 17,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorECCUncorrectable = 214,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorHostMemoryAlreadyRegistered = 712,
  cudaErrorHostMemoryNotRegistered = 713,
  cudaErrorLaunchFailure = 719,
  cudaErrorSystemNotReady = 802,
  cudaErrorUnknown = 999,
};
using cudaError_t = cudaError;

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9,
};
enum cudaSharedCarveout { cudaSharedmemCarveoutMaxShared = 100 };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
inline constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0, cudaHostAllocPortable = 1, cudaHostAllocMapped = 2,
                          cudaHostAllocWriteCombined = 4;
inline constexpr unsigned cudaHostRegisterDefault = 0, cudaHostRegisterPortable = 1;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  size_t sharedMemPerBlock;
  size_t sharedMemPerBlockOptin;
  size_t sharedMemPerMultiprocessor;
  int regsPerBlock;
  int warpSize;
  int maxThreadsPerBlock;
  int maxThreadsPerMultiProcessor;
  int multiProcessorCount;
  int major, minor;
  int l2CacheSize;
  int asyncEngineCount;
  int integrated;
  int ECCEnabled;
  int pciDomainID, pciBusID, pciDeviceID;
};

struct cudaLaunchAttribute {};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceReset();
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);

cudaError_t cudaMemGetInfo(size_t* available, size_t* total);
cudaError_t cudaMalloc(void** pointer, size_t bytes);
cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream);
cudaError_t cudaFree(void* pointer);
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream);
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags);
cudaError_t cudaMallocHost(void** pointer, size_t bytes, unsigned flags = 0);
cudaError_t cudaFreeHost(void* pointer);
cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void* pointer);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device, size_t bytes,
                                cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* pointer, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream = nullptr);

template <class T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
template <class T>
cudaError_t cudaMallocAsync(T** pointer, size_t bytes, cudaStream_t stream) {
  return cudaMallocAsync(reinterpret_cast<void**>(pointer), bytes, stream);
}
template <class T>
cudaError_t cudaHostAlloc(T** pointer, size_t bytes, unsigned flags) {
  return cudaHostAlloc(reinterpret_cast<void**>(pointer), bytes, flags);
}
template <class T>
cudaError_t cudaMallocHost(T** pointer, size_t bytes, unsigned flags = 0) {
  return cudaMallocHost(reinterpret_cast<void**>(pointer), bytes, flags);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

namespace cuda_emulation {
cudaError_t set_shared_limit(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t resident_blocks(int* blocks, int threads, size_t shared_bytes);
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> body);
}  // namespace cuda_emulation

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  return ::cuda_emulation::set_shared_limit(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int threads,
                                                          size_t shared_bytes) {
  return ::cuda_emulation::resident_blocks(blocks, threads, shared_bytes);
}
/// Parameters are copied at the launch, as CUDA does.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return [&](Parameters... copied) {
    return ::cuda_emulation::launch(*config, reinterpret_cast<const void*>(kernel),
                                    [=] { kernel(copied...); });
  }(std::forward<Arguments>(arguments)...);
}
// NOLINTEND
