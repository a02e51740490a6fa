#pragma once
#include <cstdint>

#include "fusion/arithmetic.h"
#include "fusion/row_sums.h"

namespace branchmerge {

/// Σ over a row's segments, in order, of the sums of one pass; a pass of one sum leaves `second` zero.
struct PassTotals {
  double first, second;
};

/// KL(P‖Q) of one row in docs/fusion.md's forms without cancellation, from the sums that a backend computes.
/// Which form a row takes depends on its values only. Host and device.
template <class Real>
class RowDivergence {
 public:
  BRANCHMERGE_HOST_DEVICE explicit RowDivergence(double epsilon) : epsilon_(epsilon) {}

  struct Slight {
    bool serves;
    Real kl;
  };
  /// The cheapest form, for rows of small weights that differ little: one exponential, one pass. From the
  /// sums Z = Σe^x, M = Σe^x·d/Z, E = Σe^x·(e^{−d} − 1 + d)/Z with d = x − y: ln(S_y/S_x) = ln(1 + y') with
  /// y' = E − M, and without ε
  ///   KL = E + (ln(1 + y') − y').
  /// ε is small beside every q here, and enters to first order: KL − ε·Σ(e^{d−c} − 1 − (d − c)), c = −ln(1 +
  /// y'). `totals`: the kSlightSums over the row.
  BRANCHMERGE_HOST_DEVICE Slight slight(const Extent<Real>& extent, uint64_t n, const double* totals) const {
    if (!(extent.max_difference <= arithmetic::Constants<Real>::kNear) ||
        !(extent.max_magnitude <= kSlightMagnitude))
      return {false, 0};
    if (extent.max_difference == 0) return {true, 0};
    const double smallest_q = 1 / (double(n) * arithmetic::exp_normal(2 * double(extent.max_magnitude)));
    if (!(epsilon_ <= kSlightEpsilon * smallest_q)) return {false, 0};
    const double z = totals[0], weighted = totals[1], weighted_excess = totals[2], difference = totals[3],
                 excess = totals[4];
    const double e = weighted_excess / z, y = e - weighted / z;
    const double log_excess = y * y * arithmetic::polynomial<arithmetic::Constants<double>::kLog1p>(y);
    const double kl = e + log_excess;
    // A row that differs by little more than a constant: E and the second term cancel.
    if (!(kl >= e / 4)) return {false, 0};
    const double c = -(y + log_excess), a = arithmetic::expm1_small(-c);
    const double epsilon_term = excess * (1 + a) + difference * a + double(n) * (a + c);
    return {true, Real(not_negative(kl - epsilon_ * epsilon_term))};
  }

  /// Any row. `run(pass, constants)` must compute a pass over the whole row, by one thread or several, and
  /// return its PassTotals.
  template <class Run>
  BRANCHMERGE_HOST_DEVICE Real operator()(Real max_p, Real max_q, const Extent<Real>& extent,
                                          const Run& run) const {
    if (extent.max_difference == 0) return 0;
    // Without ε a q that vanishes in exp would give 0/0: those rows go by logarithms.
    const bool vanishing = epsilon_ == 0 && 2 * double(extent.max_magnitude) > kSafeRange;
    if (vanishing) return far(max_p, max_q, run);

    const bool near = extent.max_difference <= arithmetic::Constants<Real>::kNear;
    RowConstants<Real> row{};
    row.max_p = row.max_q = max_p < max_q ? max_q : max_p;
    const PassTotals sums = run(near ? Pass::kNearSums : Pass::kMixedSums, row);
    const double sum_q = sums.first, difference = sums.second;
    const double e1 = difference / sum_q;
    // Rows that differ a lot: nothing cancels in the sums, and S_y + D would.
    if (!(arithmetic::absolute(e1) <= 0.25)) return far(max_p, max_q, run);
    set_sums(row, sum_q + difference, sum_q, arithmetic::log_positive(1 + e1));
    return total(run(near ? Pass::kNearDivergence : Pass::kMixedDivergence, row));
  }

 private:
  // Beyond it e^x would no longer be of the order of one, and rows would need their maximum subtracted.
  static constexpr Real kSlightMagnitude = 8;
  // The second order in ε that the slight form leaves out is (ε/q)²: 2.4e-7 where it is largest.
  static constexpr double kSlightEpsilon = 0x1p-11;
  static constexpr double kSafeRange = -0.9 * double(arithmetic::Constants<Real>::kExpUnderflow);

  template <class Run>
  BRANCHMERGE_HOST_DEVICE Real far(Real max_p, Real max_q, const Run& run) const {
    RowConstants<Real> row{};
    row.max_p = max_p;
    row.max_q = max_q;
    const PassTotals sums = run(Pass::kFarSums, row);
    const double sum_p = sums.first, sum_q = sums.second;
    set_sums(row, sum_p, sum_q,
             (double(max_p) - double(max_q)) +
                 (arithmetic::log_positive(sum_p) - arithmetic::log_positive(sum_q)));
    return total(run(epsilon_ == 0 ? Pass::kFarDivergenceWithoutEpsilon : Pass::kFarDivergence, row));
  }

  BRANCHMERGE_HOST_DEVICE void set_sums(RowConstants<Real>& row, double sum_p, double sum_q,
                                        double shift) const {
    row.epsilon = Real(epsilon_);
    row.inverse_p = Real(1 / sum_p);
    row.inverse_q = Real(1 / sum_q);
    row.shift_high = Real(shift);
    row.shift_low = Real(shift - double(row.shift_high));
  }

  // Rounding may leave a zero divergence a hair below zero.
  BRANCHMERGE_HOST_DEVICE static double not_negative(double kl) { return 0.0 < kl ? kl : 0.0; }
  BRANCHMERGE_HOST_DEVICE static Real total(const PassTotals& totals) {
    return Real(not_negative(totals.first));
  }

  double epsilon_;
};

}  // namespace branchmerge
