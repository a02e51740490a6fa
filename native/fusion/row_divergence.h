#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fusion/arithmetic.h"
#include "fusion/cpu/kernels.h"

namespace branchmerge {

inline size_t segments_of(size_t n) { return (n + cpu::kSegment - 1) / cpu::kSegment; }

/// KL(P‖Q) of one row in docs/fusion.md's forms without cancellation. Which form a row takes depends on its
/// values only.
template <class Real>
class RowDivergence {
 public:
  RowDivergence(const cpu::Kernels<Real>& kernels, double epsilon) : kernels_(kernels), epsilon_(epsilon) {}

  /// The cheapest form, for rows of small weights that differ little: one exponential, one pass. From the
  /// sums Z = Σe^x, M = Σe^x·d/Z, E = Σe^x·(e^{−d} − 1 + d)/Z with d = x − y: ln(S_y/S_x) = ln(1 + y') with
  /// y' = E − M, and without ε
  ///   KL = E + (ln(1 + y') − y').
  /// ε is small beside every q here, and enters to first order: KL − ε·Σ(e^{d−c} − 1 − (d − c)), c = −ln(1 +
  /// y'). Nothing where this form does not serve.
  std::optional<Real> slight(const cpu::Extent<Real>& extent, uint64_t n,
                             std::span<const double> sums) const {
    if (!(extent.max_difference <= arithmetic::Constants<Real>::kNear) ||
        !(extent.max_magnitude <= kSlightMagnitude))
      return {};
    if (extent.max_difference == 0) return Real(0);
    const double smallest_q = 1 / (double(n) * arithmetic::exp_normal(2 * double(extent.max_magnitude)));
    if (!(epsilon_ <= kSlightEpsilon * smallest_q)) return {};
    const auto [z, weighted, weighted_excess, difference, excess] = fold<cpu::kSlightSums>(sums);
    const double e = weighted_excess / z, y = e - weighted / z;
    const double log_excess = y * y * arithmetic::polynomial(arithmetic::Constants<double>::kLog1p, y);
    const double kl = e + log_excess;
    // A row that differs by little more than a constant: E and the second term cancel.
    if (!(kl >= e / 4)) return {};
    const double c = -(y + log_excess), a = arithmetic::expm1_small(-c);
    const double epsilon_term = excess * (1 + a) + difference * a + double(n) * (a + c);
    return Real(std::max(0.0, kl - epsilon_ * epsilon_term));
  }

  /// Any row. `run(kernel, constants, width)` must fill the segment sums (`width` a segment) of the whole
  /// row, by one thread or several, and return them.
  template <class Run>
  Real operator()(Real max_p, Real max_q, const cpu::Extent<Real>& extent, const Run& run) const {
    if (extent.max_difference == 0) return 0;
    // Without ε a q that vanishes in exp would give 0/0: those rows go by logarithms.
    const bool vanishing = epsilon_ == 0 && 2 * double(extent.max_magnitude) > kSafeRange;
    if (vanishing) return far(max_p, max_q, run);

    const bool near = extent.max_difference <= arithmetic::Constants<Real>::kNear;
    cpu::RowConstants<Real> row{};
    row.max_p = row.max_q = std::max(max_p, max_q);
    const auto [sum_q, difference] = fold<2>(run(near ? kernels_.near_sums : kernels_.mixed_sums, row, 2));
    const double e1 = difference / sum_q;
    // Rows that differ a lot: nothing cancels in the sums, and S_y + D would.
    if (!(std::abs(e1) <= 0.25)) return far(max_p, max_q, run);
    set_sums(row, sum_q + difference, sum_q, arithmetic::log_positive(1 + e1));
    return total(run(near ? kernels_.near_divergence : kernels_.mixed_divergence, row, 1));
  }

 private:
  // Beyond it e^x would no longer be of the order of one, and rows would need their maximum subtracted.
  static constexpr Real kSlightMagnitude = 8;
  // The second order in ε that the slight form leaves out is (ε/q)²: 2.4e-7 where it is largest.
  static constexpr double kSlightEpsilon = 0x1p-11;
  static constexpr double kSafeRange = -0.9 * double(arithmetic::Constants<Real>::kExpUnderflow);

  template <class Run>
  Real far(Real max_p, Real max_q, const Run& run) const {
    cpu::RowConstants<Real> row{};
    row.max_p = max_p;
    row.max_q = max_q;
    const auto [sum_p, sum_q] = fold<2>(run(kernels_.far_sums, row, 2));
    set_sums(row, sum_p, sum_q,
             (double(max_p) - double(max_q)) +
                 (arithmetic::log_positive(sum_p) - arithmetic::log_positive(sum_q)));
    return total(
        run(epsilon_ == 0 ? kernels_.far_divergence_without_epsilon : kernels_.far_divergence, row, 1));
  }

  void set_sums(cpu::RowConstants<Real>& row, double sum_p, double sum_q, double shift) const {
    row.epsilon = Real(epsilon_);
    row.inverse_p = Real(1 / sum_p);
    row.inverse_q = Real(1 / sum_q);
    row.shift_high = Real(shift);
    row.shift_low = Real(shift - double(row.shift_high));
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
