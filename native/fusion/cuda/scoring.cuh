#pragma once
// What is done with scores: counts of their keys' digits, and collecting those around the quartiles.
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

/// Collects scores into the run of a warp, which goes on from where an earlier launch left it. All lanes of
/// the warp do everything together.
template <class Real>
class WarpRun {
 public:
  /// Without brackets it is not used.
  __device__ __forceinline__ WarpRun(const Brackets<Real>& brackets, bool used)
      : run_(blockIdx.x * brackets.runs_per_block + warp_index()), used_(used ? brackets.sizes[run_] : 0) {}

  /// Lanes that are not `valid` have no score.
  __device__ __forceinline__ void look(const Brackets<Real>& brackets, bool valid, Real score) {
    bool low[kMaxBrackets], inside = false;
#pragma unroll
    for (int j = 0; j < kMaxBrackets; j++) {
      low[j] = score <= brackets.state->low[j];
      inside |= valid & !low[j] & (score <= brackets.state->high[j]);
    }
#pragma unroll
    for (int j = 0; j < kMaxBrackets; j++) below_[j] += unsigned(valid & low[j] & !inside);
    const unsigned lanes = __ballot_sync(kWholeWarp, inside);
    if (inside) put(brackets, used_ + unsigned(__popc(lanes & ((1u << lane_index()) - 1))), score);
    used_ += unsigned(__popc(lanes));
  }

  /// Room for `n` scores of this lane: where its first one goes.
  __device__ __forceinline__ unsigned reserve(unsigned n) {
    const unsigned up_to_lane = sum_of_lanes_up_to(n), first = used_ + up_to_lane - n;
    used_ += __shfl_sync(kWholeWarp, up_to_lane, int(kWarp) - 1);
    return first;
  }
  __device__ __forceinline__ void put(const Brackets<Real>& brackets, unsigned at, Real score) const {
    if (at < brackets.capacity) brackets.scores[uint64_t(run_) * brackets.capacity + at] = score;
  }
  /// Scores of this lane below bracket j.
  __device__ __forceinline__ void add_below(int j, unsigned n) { below_[j] += n; }

  __device__ __forceinline__ void finish(const Brackets<Real>& brackets) const {
#pragma unroll
    for (int j = 0; j < kMaxBrackets; j++) {
      const unsigned total = sum_of_warp(below_[j]);
      if (lane_index() == 0) atomicAdd(&brackets.state->below[j], static_cast<unsigned long long>(total));
    }
    if (lane_index() != 0) return;
    atomicAdd(&brackets.state->collected, static_cast<unsigned long long>(used_ - brackets.sizes[run_]));
    brackets.sizes[run_] = used_;
    if (used_ > brackets.capacity) atomicOr(&brackets.state->overflowed, 1u);
  }

 private:
  const unsigned run_;
  unsigned used_;
  unsigned below_[kMaxBrackets] = {};
};

// A sample: one score in `one_in`, beginning at another column in every row, lest the same ones speak for
// all.
__device__ __forceinline__ unsigned first_sampled(const Sample& sample, uint64_t row) {
  return unsigned(row % sample.one_in);
}
__device__ __forceinline__ unsigned* group_counts(const Sample& sample, uint64_t row) {
  return sample.counts + row % kSampleGroups * kSampleBins;
}
template <class Real>
__device__ __forceinline__ void count_sampled(unsigned* counts, Real score) {
  atomicAdd(&counts[arithmetic::bit_cast<uint32_t>(float(score)) >> (31 - kSampleBits)], 1u);
}

}  // namespace branchmerge::cuda
