#pragma once
// What every backend decides alike once it has the scores.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "fusion/options.h"
#include "fusion/quartiles.h"
#include "tensor/tensor_operator.h"

namespace branchmerge {

/// Rows longer than this are not given to one worker: their divergence takes the passes of the general forms
/// alone.
inline constexpr uint64_t kLongRow = 1 << 20;

/// A tensor as rows: the divergence is one a row.
struct RowShape {
  uint64_t elements, row_length;
  bool tensor_scope;

  RowShape(const OperandInfo& info, const FusionOptions& options)
      : elements(info.elements),
        row_length(options.scope == Scope::kTensor ? info.elements
                   : info.shape.empty()            ? 1
                                                   : info.shape.back()),
        tensor_scope(options.scope == Scope::kTensor) {}
  uint64_t rows() const { return elements / row_length; }
  /// Whether all scores share a factor: no need to go row by row.
  bool one_factor() const { return tensor_scope || row_length == 1; }
};

/// Whether scores, the largest of which is given, are too small or too large for float32: it would lose small
/// ones to underflow (its smallest normal is 2^-126) or large ones to infinity.
inline bool exceeds_single(double largest_score, const RowShape& shape, uint64_t changed) {
  constexpr double kSmallestSingleScore = 0x1p-64, kLargestSingleScore = 0x1p120;
  if (largest_score >= kLargestSingleScore) return true;
  // Differences alone cannot underflow unless the weights themselves do.
  if (shape.one_factor()) return false;
  return largest_score < kSmallestSingleScore && changed > 0;
}

inline double threshold_of(const Quartiles& q, const FusionOptions& options) {
  return q.median + options.lambda * (q.q3 - q.q1);
}

/// The smallest Real that is >= bound, or > bound: what a score must reach.
template <class Real>
Real least_passing(double bound, Gate gate) {
  const Real nearest = Real(bound);
  const bool passes = gate == Gate::kGreater ? double(nearest) > bound : double(nearest) >= bound;
  return passes ? nearest : std::nextafter(nearest, std::numeric_limits<Real>::infinity());
}

/// The statistics of a tensor. `factor`: under tensor scope the quartiles are of differences, and a score is
/// the divergence times that; 1 otherwise. `kl`: one a row.
template <class Real>
void report(TensorStats& stats, const Quartiles& q, const FusionOptions& options, double factor,
            uint64_t changed, std::vector<Real> kl) {
  const double threshold = threshold_of(q, options);
  stats.q1 = factor * q.q1;
  stats.median = factor * q.median;
  stats.q3 = factor * q.q3;
  stats.threshold = factor * threshold;
  // Of the exact product, which may be too small for a float64.
  stats.degenerate = (threshold == 0 || factor == 0) && changed > 0;
  const auto middle = kl.begin() + std::ptrdiff_t((kl.size() - 1) / 2);
  std::nth_element(kl.begin(), middle, kl.end());
  stats.kl_median = *middle;
  stats.kl_min = *std::min_element(kl.begin(), middle + 1);
  stats.kl_max = *std::max_element(middle, kl.end());
}

/// ERR_NON_FINITE for an element of Left or Right, which has the dtype of `info`.
[[noreturn]] void throw_non_finite(const OperandInfo& info, uint64_t index, bool in_left,
                                   const std::byte* element);
/// ERR_NON_FINITE for an element of the result that would be infinite in the output's dtype.
[[noreturn]] void throw_too_large(const OperandInfo& info, uint64_t index, double value, DType output_dtype);
/// ERR_NON_FINITE for scores beyond float64.
[[noreturn]] void throw_overflow(const OperandInfo& info);

}  // namespace branchmerge
