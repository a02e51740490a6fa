#pragma once
// A warp's part of the passes over a row: one segment, in the shape that all backends share
// (fusion/row_sums.h). Lane l of the warp is lane l of the segment.
#include "fusion/cuda/kernels.h"
#include "fusion/cuda/warp.cuh"
#include "fusion/formats.h"
#include "fusion/row_sums.h"

namespace branchmerge::cuda {

/// What a thread keeps of the elements it has looked at, beside sums. Order does not matter.
template <class Format, class Real>
struct LaneExtent {
  using Bits = typename Format::Bits;
  Real max_difference = 0;
  Bits magnitude = 0, difference = 0;
  unsigned changed = 0;

  __device__ __forceinline__ void look(Bits left_bits, Bits right_bits, Real x, Real y) {
    const Bits left_magnitude = left_bits & Format::kMagnitude;
    const Bits right_magnitude = right_bits & Format::kMagnitude;
    magnitude = arithmetic::larger(magnitude, arithmetic::larger(left_magnitude, right_magnitude));
    max_difference = arithmetic::larger(max_difference, arithmetic::absolute(x - y));
    difference |= left_bits ^ right_bits;
    changed += x != y;
  }

  /// Of the whole warp, in every lane.
  __device__ __forceinline__ Extent<Real> collect() const {
    const Bits largest = largest_of_warp(magnitude);
    Extent<Real> e{};
    e.max_difference = largest_of_warp(max_difference);
    e.max_magnitude = Format::widen(largest);
    e.non_finite = largest >= Format::kInfinity;
    e.changed = sum_of_warp(changed);
    e.bits_differ = __any_sync(kWholeWarp, difference != 0) != 0;
    return e;
  }
};

template <class Real>
__device__ __forceinline__ void add_slight_terms(const arithmetic::SlightTerms<Real>& terms,
                                                 Real (&sum)[kSlightSums]) {
  sum[0] += terms.e;
  sum[1] = arithmetic::fma(terms.e, terms.d, sum[1]);
  sum[2] = arithmetic::fma(terms.e, terms.even - terms.odd, sum[2]);
  sum[3] += terms.d;
  sum[4] += terms.even + terms.odd;
}

/// What a thread notes of all rows that it looks at.
struct RowNotes {
  unsigned non_finite = 0, bits_differ = 0;
  unsigned changed = 0;  // a thread meets far fewer than 2^32 elements
  double largest_score = 0;

  __device__ __forceinline__ void note_score(double score) {
    // Not >=: what is not a number counts as infinite.
    if (!(largest_score >= score)) largest_score = score == score ? score : HUGE_VAL;
  }
  /// By all lanes of a warp together.
  __device__ __forceinline__ void finish(Summary* summary) const {
    const bool any_non_finite = __any_sync(kWholeWarp, non_finite != 0) != 0;
    const bool any_differs = __any_sync(kWholeWarp, bits_differ != 0) != 0;
    const unsigned long long all_changed = fold_lanes(static_cast<unsigned long long>(changed));
    if (largest_score > 0) atomicMax(&summary->largest_score, ordered_bits(largest_score));
    if (lane_index() != 0) return;
    if (any_non_finite) atomicOr(&summary->non_finite, 1u);
    if (any_differs) atomicOr(&summary->bits_differ, 1u);
    if (all_changed != 0) atomicAdd(&summary->changed, all_changed);
  }
};

/// The five sums of a segment of n <= kSegment elements, by lane 0.
template <class Format, class Real>
__device__ __forceinline__ void slight_segment(const typename Format::Stored* p,
                                               const typename Format::Stored* q, unsigned n,
                                               LaneExtent<Format, Real>& extent, double* sums) {
  Real sum[kSlightSums] = {};
#pragma unroll 4
  for (unsigned i = lane_index(); i < n; i += kWarp) {
    const typename Format::Bits p_bits = p[i], q_bits = q[i];
    const Real x = Format::widen(p_bits), y = Format::widen(q_bits);
    extent.look(p_bits, q_bits, x, y);
    add_slight_terms(arithmetic::slight_terms(x, y), sum);
  }
#pragma unroll
  for (unsigned i = 0; i < kSlightSums; i++) {
    const Real total = fold_lanes(sum[i]);
    if (lane_index() == 0) sums[i] = double(total);
  }
}

/// The one or two sums of a pass over a segment, by lane 0.
template <Pass kPass, class Format, class Real>
__device__ __forceinline__ void pass_segment(const typename Format::Stored* p,
                                             const typename Format::Stored* q, unsigned n,
                                             const RowConstants<Real>& row, double* sums) {
  Real first_sum = 0, second_sum = 0;
#pragma unroll 2
  for (unsigned i = lane_index(); i < n; i += kWarp) {
    Real first, second = 0;
    arithmetic::add_terms<kPass>(Real(Format::widen(p[i])), Real(Format::widen(q[i])), row, first, second);
    first_sum += first;
    if (has_two_sums(kPass)) second_sum += second;
  }
  first_sum = fold_lanes(first_sum);
  if (has_two_sums(kPass)) second_sum = fold_lanes(second_sum);
  if (lane_index() != 0) return;
  sums[0] = double(first_sum);
  if (has_two_sums(kPass)) sums[1] = double(second_sum);
}

/// A pass over n elements that begin a segment, by `warps` warps of which this is number `warp`.
template <Pass kPass, class Format, class Real>
__device__ __forceinline__ void pass_segments(const typename Format::Stored* p,
                                              const typename Format::Stored* q, uint64_t n,
                                              const RowConstants<Real>& row, double* sums, uint64_t warp,
                                              uint64_t warps) {
  constexpr unsigned kWidth = has_two_sums(kPass) ? 2 : 1;
  for (uint64_t s = warp; s * kSegment < n; s += warps) {
    const uint64_t at = s * kSegment;
    pass_segment<kPass, Format, Real>(p + at, q + at, unsigned(n - at < kSegment ? n - at : kSegment), row,
                                      sums + kWidth * s);
  }
}

template <class Format, class Real>
__device__ __attribute__((noinline)) void any_pass_segments(Pass pass, const typename Format::Stored* p,
                                                            const typename Format::Stored* q, uint64_t n,
                                                            RowConstants<Real> row, double* sums,
                                                            uint64_t warp, uint64_t warps) {
  switch (pass) {
    case Pass::kNearSums:
      return pass_segments<Pass::kNearSums, Format>(p, q, n, row, sums, warp, warps);
    case Pass::kMixedSums:
      return pass_segments<Pass::kMixedSums, Format>(p, q, n, row, sums, warp, warps);
    case Pass::kFarSums:
      return pass_segments<Pass::kFarSums, Format>(p, q, n, row, sums, warp, warps);
    case Pass::kNearDivergence:
      return pass_segments<Pass::kNearDivergence, Format>(p, q, n, row, sums, warp, warps);
    case Pass::kMixedDivergence:
      return pass_segments<Pass::kMixedDivergence, Format>(p, q, n, row, sums, warp, warps);
    case Pass::kFarDivergence:
      return pass_segments<Pass::kFarDivergence, Format>(p, q, n, row, sums, warp, warps);
    case Pass::kFarDivergenceWithoutEpsilon:
      return pass_segments<Pass::kFarDivergenceWithoutEpsilon, Format>(p, q, n, row, sums, warp, warps);
  }
}

}  // namespace branchmerge::cuda
