#include "methods/trigonometry.h"

#include <cmath>
#include <cstdint>

namespace branchmerge {
namespace {

// π/2 in two parts; with a fused multiply-add the first is subtracted exactly.
constexpr double kHalfPi = 0x1.921fb54442d18p+0, kHalfPiRest = 0x1.1a62633145c07p-54;
constexpr double kPi = 2 * kHalfPi, kPiRest = 2 * kHalfPiRest;

/// Σ (−1)^k·x^(2k)/((2k + first)!/first!), the Taylor series of cos x (first 0) and of sin x/x (first 1). On
/// |x| <= π/4 the term left out is below 1e-20.
double alternating_series(double x, int first) {
  const double square = x * x;
  double sum = 1;
  for (int k = 10; k > 0; k--)
    sum = std::fma(-square / double((2 * k + first) * (2 * k + first - 1)), sum, 1);
  return sum;
}

/// x = quarter·π/2 + rest with |rest| <= π/4.
struct Reduced {
  uint64_t quarter;
  double rest;
};
Reduced reduce(double x) {
  const double k = std::floor(x / kHalfPi + 0.5);
  return {uint64_t(int64_t(k)) % 4, std::fma(-k, kHalfPiRest, std::fma(-k, kHalfPi, x))};
}

double value(uint64_t quarter, double rest) {
  const double magnitude =
      quarter % 2 == 0 ? rest * alternating_series(rest, 1) : alternating_series(rest, 0);
  return quarter < 2 ? magnitude : -magnitude;
}

/// On |z| <= 1/2: the power series of arcsin, whose terms fall by 4 each.
double arc_sine(double z) {
  const double square = z * z;
  double power = z, rest = 0;
  for (int k = 1; k <= 28; k++) {
    power *= square * double(2 * k - 1) / double(2 * k);
    rest += power / double(2 * k + 1);
  }
  return z + rest;
}

}  // namespace

double sine(double x) {
  if (!std::isfinite(x)) return x - x;
  const auto [quarter, rest] = reduce(x);
  return value(quarter, rest);
}

double cosine(double x) {
  if (!std::isfinite(x)) return x - x;
  const auto [quarter, rest] = reduce(x);
  return value((quarter + 1) % 4, rest);
}

double arc_cosine(double c) {
  // Half the angle near the ends, where the angle itself is as √(1 − |c|).
  if (c > 0.5) return 2 * arc_sine(std::sqrt((1 - c) / 2));
  if (c < -0.5) return kPi - (2 * arc_sine(std::sqrt((1 + c) / 2)) - kPiRest);
  return kHalfPi - (arc_sine(c) - kHalfPiRest);
}

}  // namespace branchmerge
