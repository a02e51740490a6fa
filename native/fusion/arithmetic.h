#pragma once
// The arithmetic that every backend shares, so that every backend gives the same bits: correctly rounded
// + − × ÷ fma, compares, selects and integer operations on bit patterns, nothing else. Polynomials are
// least-error fits of our own (Chebyshev nodes, 60-digit arithmetic); the relative error of each is given
// beside it.
//
// No standard library in here: this header is compiled for several instruction sets, and an inline function
// compiled for the widest must never be the copy that the linker keeps for everyone.
#include <cstddef>
#include <cstdint>

#include "base/host_device.h"

#if defined(__CUDACC__)
#define BRANCHMERGE_INLINE __host__ __device__ static __forceinline__
#else
#define BRANCHMERGE_INLINE static inline __attribute__((always_inline))
#endif

namespace branchmerge::arithmetic {
namespace {

template <class To, class From>
BRANCHMERGE_INLINE To bit_cast(From value) {
  return __builtin_bit_cast(To, value);
}
#if defined(__CUDA_ARCH__)
BRANCHMERGE_INLINE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
BRANCHMERGE_INLINE double fma(double a, double b, double c) { return __fma_rn(a, b, c); }
BRANCHMERGE_INLINE float absolute(float x) { return ::fabsf(x); }
BRANCHMERGE_INLINE double absolute(double x) { return ::fabs(x); }
#else
BRANCHMERGE_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
BRANCHMERGE_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
BRANCHMERGE_INLINE float absolute(float x) { return __builtin_fabsf(x); }
BRANCHMERGE_INLINE double absolute(double x) { return __builtin_fabs(x); }
#endif

/// c[kFirst] + c[kFirst + 1]·x + … by Horner's rule; recursive, so that it unrolls whatever the optimiser
/// thinks. The coefficients are a template argument because a GPU has no address for them.
template <const auto& c, size_t kFirst = 0, class Real>
BRANCHMERGE_INLINE Real polynomial(Real x) {
  constexpr Real kCoefficient = c[kFirst];
  if constexpr (kFirst + 1 == sizeof c / sizeof c[0])
    return kCoefficient;
  else
    return fma(polynomial<c, kFirst + 1>(x), x, kCoefficient);
}

template <class Real>
struct Constants;

template <>
struct Constants<float> {
  using Bits = uint32_t;
  static constexpr int kMantissaBits = 23;
  static constexpr float kLog2E = 1.44269504f;
  // ln 2 in two parts; the first has few enough bits that n·kLn2High is exact for |n| <= 128.
  static constexpr float kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;
  static constexpr float kRoundToInteger = 12582912.0f;  // 1.5·2^23
  static constexpr float kExpUnderflow = -87.0f;
  static constexpr float kExpUnreduced = 0.34375f;  // x·log2(e) then rounds to 0
  static constexpr float kLn2 = 0.693147181f;
  static constexpr uint32_t kSqrtHalf = 0x3f3504f3;  // bits of √½
  // (e^r − 1 − r)/r² on |r| <= ln2/2: 1.0e-8 of e^r
  static constexpr float kExp[] = {0.5f, 0.16666577756404877f, 0.041666556149721146f, 0.008363173343241215f,
                                   0.0013926175888627768f};
  // the same on |r| <= 1/4: 3.1e-9 of e^r − 1
  static constexpr float kExpm1[] = {0.5f, 0.1666664183139801f, 0.04166663810610771f, 0.00834884773939848f,
                                     0.0013908278197050095f};
  // (ln(1 + f) − f)/f² on √½ − 1 <= f <= √2 − 1: 8.1e-9
  static constexpr float kLog1p[] = {-0.5f,
                                     0.33333322405815125f,
                                     -0.25000011920928955f,
                                     0.20001447200775146f,
                                     -0.1666753739118576f,
                                     0.14232318103313446f,
                                     -0.12420814484357834f,
                                     0.11812136322259903f,
                                     -0.11557287722826004f,
                                     0.06769023835659027f};
  // For rows whose models differ by at most kNear everywhere, where |(x − y) − ln(S_x/S_y)| <= 2·kNear and
  // |t| <= 0.134:
  static constexpr float kNear = 0.0625f;
  // (e^r − 1 − r)/r² on |r| <= 2·kNear: 5.4e-9 of e^r − 1
  static constexpr float kExpm1Near[] = {0.4999999701976776f, 0.1666666567325592f, 0.04168837517499924f,
                                         0.00833643414080143f};
  // φ(t)/t² on |t| <= 0.135: 7.3e-9
  static constexpr float kPhiNear[] = {0.5f,
                                       -0.1666666716337204f,
                                       0.083329938352108f,
                                       -0.04999735951423645f,
                                       0.03382781147956848f,
                                       -0.024194374680519104f};
};

template <>
struct Constants<double> {
  using Bits = uint64_t;
  static constexpr int kMantissaBits = 52;
  static constexpr double kLog2E = 1.4426950408889634;
  static constexpr double kLn2High = 0.693147180369123816490, kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kRoundToInteger = 6755399441055744.0;  // 1.5·2^52
  static constexpr double kExpUnderflow = -700.0;
  static constexpr double kExpUnreduced = 0.34375;
  static constexpr double kLn2 = 0.693147180559945309417;
  static constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
  // Taylor: 1/2!, 1/3! … 1/14!: 2e-18 on |r| <= ln2/2
  static constexpr double kExp[] = {1.0 / 2,
                                    1.0 / 6,
                                    1.0 / 24,
                                    1.0 / 120,
                                    1.0 / 720,
                                    1.0 / 5040,
                                    1.0 / 40320,
                                    1.0 / 362880,
                                    1.0 / 3628800,
                                    1.0 / 39916800,
                                    1.0 / 479001600,
                                    1.0 / 6227020800.0,
                                    1.0 / 87178291200.0};
  static constexpr double kExpm1[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
                                      1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                                      1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
  // 4.4e-19
  static constexpr double kLog1p[] = {-0.5,
                                      0.3333333333333333,
                                      -0.25000000000000033,
                                      0.2000000000000069,
                                      -0.16666666666656405,
                                      0.142857142855555,
                                      -0.1250000000127535,
                                      0.11111111128188937,
                                      -0.09999999925676271,
                                      0.09090908072780475,
                                      -0.08333335414238319,
                                      0.07692344114682197,
                                      -0.07142840313174073,
                                      0.066658625873359,
                                      -0.06249427488200316,
                                      0.05893115831381278,
                                      -0.0557386177273737,
                                      0.05183796630011254,
                                      -0.04776306603284303,
                                      0.04971904701913414,
                                      -0.05795808230769681,
                                      0.051220948707067886,
                                      -0.02100210003532111};
  // Float64 takes the general path everywhere; no near polynomials.
  static constexpr double kNear = -1.0;
  static constexpr double kExpm1Near[] = {0.5};
  static constexpr double kPhiNear[] = {0.5};
};

/// e^x where the result is a normal number.
template <class Real>
BRANCHMERGE_INLINE Real exp_normal(Real x) {
  using C = Constants<Real>;
  using Bits = typename C::Bits;
  const Real shifted = fma(x, C::kLog2E, C::kRoundToInteger);
  const Real n = shifted - C::kRoundToInteger;
  const Real r = fma(n, -C::kLn2Low, fma(n, -C::kLn2High, x));
  const Real p = fma(fma(polynomial<C::kExp>(r), r, Real(1)), r, Real(1));
  return bit_cast<Real>(Bits(bit_cast<Bits>(p) + (bit_cast<Bits>(shifted) << C::kMantissaBits)));
}

/// e^x where |x| <= kExpUnreduced, to the bit what exp_normal gives: there its reduction takes n = 0, and r =
/// x.
template <class Real>
BRANCHMERGE_INLINE Real exp_unreduced(Real x) {
  return fma(fma(polynomial<Constants<Real>::kExp>(x), x, Real(1)), x, Real(1));
}

/// e^x for x <= 0; exactly 0 below kExpUnderflow.
template <class Real>
BRANCHMERGE_INLINE Real exp_nonpositive(Real x) {
  const Real normal = exp_normal(x);
  return x < Constants<Real>::kExpUnderflow ? Real(0) : normal;
}

/// e^x − 1 for |x| <= 1/4.
template <class Real>
BRANCHMERGE_INLINE Real expm1_small(Real x) {
  return fma(x * x, polynomial<Constants<Real>::kExpm1>(x), x);
}

/// e^x − 1 for |x| <= 2·kNear.
template <class Real>
BRANCHMERGE_INLINE Real expm1_near(Real x) {
  return fma(x * x, polynomial<Constants<Real>::kExpm1Near>(x), x);
}

/// ratio = 2^exponent · (1 + f) with √½ <= 1 + f < √2, for a normal positive ratio.
template <class Real>
struct Reduced {
  Real exponent;
  Real f;
};
template <class Real>
BRANCHMERGE_INLINE Reduced<Real> reduce(Real ratio) {
  using C = Constants<Real>;
  using Bits = typename C::Bits;
  // The exponent is brought into the mantissa of kRoundToInteger: a conversion without an integer-to-float
  // instruction, which AVX2 lacks for 64 bits.
  constexpr Bits kBias = Bits(1) << (sizeof(Bits) * 8 - 8);  // keeps the difference positive before the shift
  const Bits bits = bit_cast<Bits>(ratio);
  const Bits steps = ((bits - C::kSqrtHalf) + (kBias << 6)) >> C::kMantissaBits;
  const Real exponent = bit_cast<Real>(Bits(bit_cast<Bits>(C::kRoundToInteger) + steps)) -
                        (C::kRoundToInteger + Real((kBias << 6) >> C::kMantissaBits));
  const Bits whole = steps - ((kBias << 6) >> C::kMantissaBits);
  return {exponent, bit_cast<Real>(Bits(bits - (whole << C::kMantissaBits))) - Real(1)};
}

/// ln(ratio) for a normal positive ratio.
template <class Real>
BRANCHMERGE_INLINE Real log_positive(Real ratio) {
  const Reduced<Real> r = reduce(ratio);
  return fma(r.exponent, Constants<Real>::kLn2,
             fma(r.f * r.f, polynomial<Constants<Real>::kLog1p>(r.f), r.f));
}

/// φ(t) = (1 + t)·ln(1 + t) − t for t > −1, without cancellation near zero: with ln(1 + t) = t + t²·R(t) it
/// is t²·(1 + (1 + t)·R(t)) where 1 + t lies in [√½, √2), and the closed form elsewhere.
template <class Real>
BRANCHMERGE_INLINE Real phi(Real t) {
  const Real ratio = t + Real(1);
  const Reduced<Real> reduced = reduce(ratio);
  const bool small = reduced.exponent == Real(0);
  const Real f = small ? t : reduced.f;
  const Real r = polynomial<Constants<Real>::kLog1p>(f);
  const Real log = fma(reduced.exponent, Constants<Real>::kLn2, fma(f * f, r, f));
  return small ? t * t * fma(ratio, r, Real(1)) : fma(ratio, log, -t);
}

/// φ(t)/t² for |t| <= 0.134.
template <class Real>
BRANCHMERGE_INLINE Real phi_near_over_square(Real t) {
  return polynomial<Constants<Real>::kPhiNear>(t);
}

/// A float's bits as an unsigned integer of the same order (−0 and +0 differ: add +0 first).
BRANCHMERGE_INLINE uint32_t order_key(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  return bits ^ (uint32_t(int32_t(bits) >> 31) | 0x80000000u);
}
BRANCHMERGE_INLINE uint64_t order_key(double value) {
  const uint64_t bits = bit_cast<uint64_t>(value);
  return bits ^ (uint64_t(int64_t(bits) >> 63) | 0x8000000000000000ull);
}
BRANCHMERGE_INLINE float value_of_key(uint32_t key) {
  return bit_cast<float>(key ^ (uint32_t(~(int32_t(key) >> 31)) | 0x80000000u));
}
BRANCHMERGE_INLINE double value_of_key(uint64_t key) {
  return bit_cast<double>(key ^ (uint64_t(~(int64_t(key) >> 63)) | 0x8000000000000000ull));
}

}  // namespace
}  // namespace branchmerge::arithmetic
