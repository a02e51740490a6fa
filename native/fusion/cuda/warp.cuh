#pragma once
// What the threads of a warp and a block do together.
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "fusion/row_sums.h"

// Shared memory of a block. The emulation, which cannot say __shared__, brings its own.
#ifndef BRANCHMERGE_SHARED
#define BRANCHMERGE_SHARED(Type, name) __shared__ std::type_identity_t<Type> name
#define BRANCHMERGE_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace branchmerge::cuda {

inline constexpr unsigned kWarp = 32, kWholeWarp = 0xffffffff;
static_assert(kWarp == kLanes, "a warp's lanes are those of a segment");

__device__ __forceinline__ unsigned lane_index() { return threadIdx.x % kWarp; }
__device__ __forceinline__ unsigned warp_index() { return threadIdx.x / kWarp; }

/// Lane 0 gets the sum of all lanes, folded by halves: 16, 8, 4, 2, 1.
template <class Real>
__device__ __forceinline__ Real fold_lanes(Real value) {
#pragma unroll
  for (unsigned width = kWarp / 2; width > 0; width /= 2) value += __shfl_down_sync(kWholeWarp, value, width);
  return value;
}

/// The sum of this lane's value and those of the lanes before it.
__device__ __forceinline__ unsigned sum_of_lanes_up_to(unsigned value) {
#pragma unroll
  for (unsigned by = 1; by < kWarp; by *= 2) {
    const unsigned other = __shfl_up_sync(kWholeWarp, value, by);
    if (lane_index() >= by) value += other;
  }
  return value;
}

// Order does not matter to these; every lane gets the result.
template <class T>
__device__ __forceinline__ T largest_of_warp(T value) {
#pragma unroll
  for (unsigned width = kWarp / 2; width > 0; width /= 2)
    value = arithmetic::larger(value, __shfl_xor_sync(kWholeWarp, value, width));
  return value;
}
__device__ __forceinline__ unsigned largest_of_warp(unsigned value) {
  return __reduce_max_sync(kWholeWarp, value);
}
__device__ __forceinline__ unsigned sum_of_warp(unsigned value) {
  return __reduce_add_sync(kWholeWarp, value);
}

/// Bits of a number that is not negative are in its order.
__device__ __forceinline__ unsigned long long ordered_bits(double value) {
  return arithmetic::bit_cast<unsigned long long>(value);
}
__device__ __forceinline__ unsigned long long ordered_bits(float value) {
  return arithmetic::bit_cast<uint32_t>(value);
}

}  // namespace branchmerge::cuda
