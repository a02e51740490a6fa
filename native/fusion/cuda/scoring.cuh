#pragma once
// What is done with scores: counts of their keys' digits, brackets around quartiles, a sample.
#include "fusion/cuda/kernels.h"
#include "fusion/cuda/warp.cuh"

namespace branchmerge::cuda {

template <class Real>
__device__ __forceinline__ Real score_of(Real left, Real right, Real kl, bool is_signed) {
  return is_signed ? arithmetic::score<true>(left, right, kl) : arithmetic::score<false>(left, right, kl);
}

/// A block's own counts of digits, in shared memory: begin, count by every thread, and finish into the global
/// ones.
class DigitCounts {
 public:
  __device__ __forceinline__ DigitCounts(const Digits& digits, unsigned* counts)
      : digits_(digits), counts_(counts) {}

  /// Needs a barrier before the first count.
  __device__ __forceinline__ void begin() {
    for (unsigned i = threadIdx.x; i < size(); i += blockDim.x) counts_[i] = 0;
  }

  template <class Key>
  __device__ __forceinline__ void count(Key key) {
    const Key leading = key >> digits_.shift;
    const unsigned bin = unsigned(leading) & ((1u << digits_.bits) - 1);
    // All of the key lies below the prefix in the first round: shifted twice, because by 32 or 64 is
    // undefined.
    const uint64_t prefix = uint64_t(leading) >> digits_.bits;
    for (int t = 0; t < digits_.prefixes; t++)
      if (prefix == digits_.prefix[t]) atomicAdd(&counts_[(unsigned(t) << digits_.bits) + bin], 1u);
  }

  /// Needs a barrier after the last count.
  __device__ __forceinline__ void finish() {
    for (unsigned i = threadIdx.x; i < size(); i += blockDim.x) {
      if (counts_[i] == 0) continue;
      const unsigned prefix = i >> digits_.bits, bin = i & ((1u << digits_.bits) - 1);
      atomicAdd(&digits_.counts[prefix * unsigned(kMaxDigitBins) + bin],
                static_cast<unsigned long long>(counts_[i]));
    }
  }

 private:
  __device__ __forceinline__ unsigned size() const { return unsigned(digits_.prefixes) << digits_.bits; }
  const Digits& digits_;
  unsigned* counts_;
};

inline size_t digit_count_bytes(const Digits& digits) {
  return sizeof(unsigned) * (size_t(digits.prefixes) << digits.bits);
}

/// A block's brackets. `used`: kMaxBrackets counters in shared memory.
template <class Real>
class BlockBrackets {
 public:
  __device__ __forceinline__ BlockBrackets(const Brackets<Real>& brackets, unsigned* used)
      : brackets_(brackets), used_(used) {}

  /// Needs a barrier before the first score.
  __device__ __forceinline__ void begin() {
    if (threadIdx.x < unsigned(kMaxBrackets)) used_[threadIdx.x] = 0;
  }

  /// By all lanes of a warp together; those that are not `valid` have no score.
  __device__ __forceinline__ void look(bool valid, Real score) {
    bool inside[kMaxBrackets], any = false;
#pragma unroll
    for (int j = 0; j < kMaxBrackets; j++) {
      // Brackets beyond the count are empty.
      const bool low = score <= brackets_.low[j];
      at_most_low_[j] += valid && low;
      inside[j] = valid && !low && score <= brackets_.high[j];
      any |= inside[j];
    }
    if (!__any_sync(kWholeWarp, any)) return;
#pragma unroll
    for (int j = 0; j < kMaxBrackets; j++) append(j, inside[j], score);
  }

  /// Needs a barrier after the last score.
  __device__ __forceinline__ void finish() {
#pragma unroll
    for (int j = 0; j < kMaxBrackets; j++) {
      const unsigned total = sum_of_warp(at_most_low_[j]);
      if (j < brackets_.count && lane_index() == 0)
        atomicAdd(&brackets_.at_most_low[j], static_cast<unsigned long long>(total));
    }
    if (threadIdx.x < unsigned(brackets_.count))
      brackets_.sizes[threadIdx.x * gridDim.x + blockIdx.x] = used_[threadIdx.x];
  }

 private:
  __device__ __forceinline__ void append(int j, bool inside, Real score) {
    const unsigned lanes = __ballot_sync(kWholeWarp, inside);
    if (lanes == 0) return;
    unsigned first = 0;
    if (lane_index() == 0) first = atomicAdd(&used_[j], unsigned(__popc(lanes)));
    first = __shfl_sync(kWholeWarp, first, 0);
    const unsigned at = first + unsigned(__popc(lanes & ((1u << lane_index()) - 1)));
    if (inside && at < brackets_.capacity)
      brackets_.inside[(uint64_t(j) * gridDim.x + blockIdx.x) * brackets_.capacity + at] = score;
  }

  const Brackets<Real>& brackets_;
  unsigned* used_;
  unsigned at_most_low_[kMaxBrackets] = {};
};

}  // namespace branchmerge::cuda
