#pragma once
// The passes over a row, element by element: what every backend computes. docs/fusion.md has the forms, and
// docs/reproducibility.md the one shape of the sums.
//
// As arithmetic.h, this is compiled for several instruction sets: every function is inlined.
#include <cstddef>
#include <cstdint>

#include "fusion/arithmetic.h"

namespace branchmerge {

/// Sums have one shape: a row is cut into segments of kSegment elements; in a segment, lane l of kLanes adds
/// elements l, l + kLanes, … in order; the lanes fold by halves; segment sums are float64 and are added in
/// order. 1024 keeps the float32 part at 32 terms a lane and lets a GPU give a segment to a warp.
inline constexpr size_t kSegment = 1024;
inline constexpr size_t kLanes = 32;

BRANCHMERGE_HOST_DEVICE constexpr size_t segments_of(size_t n) { return (n + kSegment - 1) / kSegment; }

/// What one look at a run tells.
template <class Real>
struct Extent {
  Real max_left, max_right;  // largest value; not from the slight form's pass
  Real max_magnitude;        // largest |value| of both
  Real max_difference;       // largest |L − R|
  uint64_t changed;          // elements whose values differ
  bool bits_differ;          // some element has other bits (−0 and +0 included)
  bool non_finite;           // NaN or infinity somewhere; the other fields are then meaningless
};

/// The passes of the forms that need two; the slight form needs a single one.
enum class Pass : uint8_t {
  // The first writes S_y and D of each segment, Σu and Σd.
  kNearSums,
  kMixedSums,
  kFarSums,  // Σe^{x − max_p} and Σe^{y − max_q}
  // The second writes Σ(q + ε)·φ(t) of each segment.
  kNearDivergence,
  kMixedDivergence,
  kFarDivergence,
  kFarDivergenceWithoutEpsilon,
};
inline constexpr int kPasses = 7;
BRANCHMERGE_HOST_DEVICE constexpr bool has_two_sums(Pass pass) { return pass <= Pass::kFarSums; }

/// Constants of the passes over a row; docs/fusion.md, "KL without cancellation".
template <class Real>
struct RowConstants {
  Real max_p, max_q;           // subtracted before exp; equal in the near and mixed forms
  Real inverse_p, inverse_q;   // 1/S_x, 1/S_y
  Real shift_high, shift_low;  // ln(S_x/S_y) in two parts: ln(p/q) = (x − y) − shift
  Real epsilon;
};

/// Sums of the slight form, for each segment, with d = x − y: Σe^x, Σe^x·d, Σe^x·(e^{−d} − 1 + d), Σd, Σ(e^d
/// − 1 − d). They mean something only where |x| <= 8 and |d| <= 1/16, which the extent tells.
inline constexpr size_t kSlightSums = 5;

namespace arithmetic {
namespace {

template <class Real>
BRANCHMERGE_INLINE Real larger(Real a, Real b) {
  return a > b ? a : b;
}

template <class Real>
struct SlightTerms {
  Real e, d, even, odd;
};
/// `kUnreduced`: |x| is known to be at most kExpUnreduced. The terms are the same.
template <bool kUnreduced = false, class Real>
BRANCHMERGE_INLINE SlightTerms<Real> slight_terms(Real x, Real y) {
  const Real d = x - y, square = d * d, e = kUnreduced ? exp_unreduced(x) : exp_normal(x);
  // The even and the odd part of e^d − 1 − d: 4.2e-8 and 1.8e-8 on |d| <= 1/16.
  const Real even = square * fma(square, Real(1) / 24, Real(0.5));
  const Real odd = square * d * fma(square, Real(1) / 120, Real(1) / 6);
  return {e, d, even, odd};
}

template <class Real>
struct Probabilities {
  Real p, q, difference;  // p − q
  Real log_ratio;         // ln p/q
};
template <class Real>
BRANCHMERGE_INLINE Probabilities<Real> probabilities(Real x, Real y, const RowConstants<Real>& c) {
  const Real p1 = exp_nonpositive(x - c.max_p) * c.inverse_p;
  const Real q1 = exp_nonpositive(y - c.max_q) * c.inverse_q;
  // x − y with the error of its rounding: far apart, that error would be all that is left after the shift.
  const Real high = x - y;
  const Real carried = high - x;
  const Real low = (x - (high - carried)) - (y + carried);
  const Real log_ratio = (high - c.shift_high) + (low - c.shift_low);
  const bool small = absolute(log_ratio) <= Real(0.25);
  const Real difference = small ? q1 * expm1_small(small ? log_ratio : Real(0)) : p1 - q1;
  return {p1, q1, difference, log_ratio};
}

/// The terms that `kPass` adds for one element: two, or one of which `second` is not written.
template <Pass kPass, class Real>
BRANCHMERGE_INLINE void add_terms(Real x, Real y, const RowConstants<Real>& c, Real& first, Real& second) {
  if constexpr (kPass == Pass::kNearSums) {
    first = exp_nonpositive(y - c.max_p);
    second = first * expm1_near(x - y);
  } else if constexpr (kPass == Pass::kMixedSums) {
    // d = e^{x−m} − e^{y−m}: by expm1 where the difference is small, directly where nothing cancels.
    first = exp_nonpositive(y - c.max_p);
    const Real difference = x - y;
    const Real direct = exp_nonpositive(x - c.max_p) - first;
    const bool small = absolute(difference) <= Real(0.25);
    second = small ? first * expm1_small(small ? difference : Real(0)) : direct;
  } else if constexpr (kPass == Pass::kFarSums) {
    first = exp_nonpositive(x - c.max_p);
    second = exp_nonpositive(y - c.max_q);
  } else if constexpr (kPass == Pass::kNearDivergence) {
    // p − q = q·(e^{(x − y) − shift} − 1): second order in an error of the shift, so nothing is lost where a
    // row differs by little more than a constant, which softmax does not see.
    const Real q1 = exp_nonpositive(y - c.max_q) * c.inverse_q;
    const Real difference = q1 * expm1_near(((x - y) - c.shift_high) - c.shift_low);
    const Real t = difference / (q1 + c.epsilon);
    first = difference * t * phi_near_over_square(t);
  } else if constexpr (kPass == Pass::kMixedDivergence) {
    const Probabilities<Real> pq = probabilities(x, y, c);
    const Real w = pq.q + c.epsilon;
    first = w * phi(pq.difference / w);
  } else if constexpr (kPass == Pass::kFarDivergence) {
    // Closed form: (p + ε)·ln((p + ε)/(q + ε)) − (p − q), and the series where the two are close.
    const Probabilities<Real> pq = probabilities(x, y, c);
    const Real w = pq.q + c.epsilon;
    const Real t = pq.difference / w;
    const bool close = absolute(t) <= Real(0.25);
    const Real series = w * phi(close ? t : Real(0));
    const Real v = pq.p + c.epsilon;
    const Real closed = fma(v, log_positive(v / w), -pq.difference);
    first = close ? series : closed;
  } else {
    // Without ε a q may vanish in exp where its logarithm is still finite.
    const Probabilities<Real> pq = probabilities(x, y, c);
    const bool close = absolute(pq.log_ratio) <= Real(0.25);
    const Real series = pq.q * phi(expm1_small(close ? pq.log_ratio : Real(0)));
    first = close ? series : fma(pq.p, pq.log_ratio, pq.q - pq.p);
  }
}

// Adding +0 turns a −0 into +0, so that equal scores have equal keys.
template <bool kSigned, class Real>
BRANCHMERGE_INLINE Real score(Real left, Real right, Real kl) {
  const Real difference = left - right;
  return kSigned ? kl * difference + Real(0) : kl * absolute(difference) + Real(0);
}

}  // namespace
}  // namespace arithmetic
}  // namespace branchmerge
