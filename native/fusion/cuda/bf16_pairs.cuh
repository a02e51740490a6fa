#pragma once
// Two BF16 numbers in the halves of a word, compared in one instruction: 16 bits of a float32 say where it
// lies as well as all of them, but for its nearest neighbours.
#include <cuda_bf16.h>

#include <cstring>

#include "fusion/arithmetic.h"

namespace branchmerge::cuda {

__device__ __forceinline__ __nv_bfloat162 pair_of(unsigned bits) {
  __nv_bfloat162 pair;
  memcpy(&pair, &bits, sizeof pair);
  return pair;
}

/// Both rounded to nearest: `first` in the lower half.
__device__ __forceinline__ unsigned rounded_pair(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  unsigned bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

/// 0xffff in the halves where a <= b, or a > b.
__device__ __forceinline__ unsigned at_most(unsigned a, unsigned b) {
  return __hle2_mask(pair_of(a), pair_of(b));
}
__device__ __forceinline__ unsigned above(unsigned a, unsigned b) {
  return __hgt2_mask(pair_of(a), pair_of(b));
}

/// `count` and the halves of a mask that are set.
__device__ __forceinline__ int count_halves(unsigned mask, int count) {
  constexpr int kMinusOnes = 0xffff;  // two of 8 bits, by which halves of −1 are multiplied
  return __dp2a_lo(int(mask), kMinusOnes, count);
}

/// The pair of a number and itself: the largest of BF16 that is less than all to which numbers >= bound are
/// rounded, or zero. bound: not negative.
__device__ __forceinline__ unsigned pair_before(float bound) {
  const unsigned half = rounded_pair(bound, bound) & 0xffff;
  return (half == 0 ? 0 : half - 1) * 0x10001u;
}

}  // namespace branchmerge::cuda
