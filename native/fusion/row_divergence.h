#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "fusion/arithmetic.h"
#include "fusion/cpu/kernels.h"

namespace branchmerge {

inline size_t segments_of(size_t n) { return (n + cpu::kSegment - 1) / cpu::kSegment; }

/// KL(P‖Q) of one row in docs/fusion.md's form without cancellation. `run(kernel, constants, width)` must fill the
/// segment sums (`width` a segment) of the whole row, by one thread or several, and return them.
template <class Real>
class RowDivergence {
 public:
  RowDivergence(const cpu::Kernels<Real>& kernels, double epsilon) : kernels_(kernels), epsilon_(epsilon) {}

  template <class Run>
  Real operator()(Real max_p, Real max_q, const cpu::Extent<Real>& extent, const Run& run) const {
    if (extent.max_difference == 0) return 0;
    // Without ε a q that vanishes in exp would give 0/0: those rows go by logarithms.
    const bool vanishing = epsilon_ == 0 && 2 * double(extent.max_magnitude) > kSafeRange;
    if (vanishing) return far(max_p, max_q, run);

    const bool near = extent.max_difference <= arithmetic::Constants<Real>::kNear;
    cpu::RowConstants<Real> row{};
    row.max_p = row.max_q = std::max(max_p, max_q);
    row.epsilon = Real(epsilon_);
    const auto [sum_q, difference] = fold<2>(run(near ? kernels_.near_sums : kernels_.mixed_sums, row, 2));
    const double e1 = difference / sum_q;
    // Rows that differ a lot: nothing cancels, and S_y + D would.
    if (!(std::abs(e1) <= 0.25)) return far(max_p, max_q, run);
    row.e1 = Real(e1);
    row.inverse_q = Real(1 / sum_q);
    row.inverse_p = Real(1 / (sum_q + difference));
    return total(run(near ? kernels_.near_divergence : kernels_.mixed_divergence, row, 1));
  }

 private:
  static constexpr double kSafeRange = -0.9 * double(arithmetic::Constants<Real>::kExpUnderflow);

  template <class Run>
  Real far(Real max_p, Real max_q, const Run& run) const {
    cpu::RowConstants<Real> row{};
    row.max_p = max_p;
    row.max_q = max_q;
    row.epsilon = Real(epsilon_);
    const auto [sum_p, sum_q] = fold<2>(run(kernels_.far_sums, row, 2));
    row.inverse_p = Real(1 / sum_p);
    row.inverse_q = Real(1 / sum_q);
    row.log_ratio = Real((double(max_p) - double(max_q)) +
                         (arithmetic::log_positive(sum_p) - arithmetic::log_positive(sum_q)));
    return total(run(epsilon_ == 0 ? kernels_.far_divergence_without_epsilon : kernels_.far_divergence, row, 1));
  }

  template <size_t kWidth>
  static std::array<double, kWidth> fold(std::span<const double> sums) {
    std::array<double, kWidth> totals{};
    for (size_t i = 0; i < sums.size(); i++) totals[i % kWidth] += sums[i];
    return totals;
  }
  // Rounding may leave a zero divergence a hair below zero.
  static Real total(std::span<const double> sums) { return Real(std::max(0.0, fold<1>(sums)[0])); }

  const cpu::Kernels<Real>& kernels_;
  double epsilon_;
};

}  // namespace branchmerge
