// The polynomials against the C library in long double.
#include "fusion/arithmetic.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

namespace branchmerge {
namespace {

using namespace arithmetic;

template <class Real>
double worst_error(double low, double high, Real (*ours)(Real), long double (*exact)(long double)) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(low, high);
  double worst = 0;
  for (int i = 0; i < 200'000; i++) {
    const Real x = Real(uniform(random));
    const long double expected = exact(x);
    if (expected == 0) continue;
    worst = std::max(worst, double(std::fabs((ours(x) - expected) / expected)));
  }
  return worst;
}

float phi_near(float t) { return t * t * phi_near_over_square(t); }

long double exact_phi(long double t) {
  // (1 + t)·ln(1 + t) − t = t·ln(1 + t) + (ln(1 + t) − t), whose second part is the one that cancels.
  if (std::fabs(t) > 1e-3L) return (1 + t) * std::log1p(t) - t;
  long double sum = 0, power = t * t;
  for (int k = 2; k < 12; k++, power *= -t) sum += power / (k * (k - 1));
  return sum;
}

TEST_CASE("float32 functions are accurate to a few units in the last place") {
  CHECK(worst_error<float>(-80, 0, exp_nonpositive<float>, std::exp) < 1.5e-7);
  CHECK(worst_error<float>(-0.25, 0.25, expm1_small<float>, std::expm1) < 1.2e-7);
  CHECK(worst_error<float>(-0.125, 0.125, expm1_near<float>, std::expm1) < 1.5e-7);
  CHECK(worst_error<float>(-0.135, 0.135, phi_near, exact_phi) < 2.5e-7);
  CHECK(worst_error<float>(-8, 8, exp_normal<float>, std::exp) < 1.5e-7);
  CHECK(worst_error<float>(-0.25, 0.25, phi<float>, exact_phi) < 4e-7);
  CHECK(worst_error<float>(0.5, 1000, phi<float>, exact_phi) < 1.2e-6);
  CHECK(worst_error<float>(1.5, 1e6, log_positive<float>, std::log) < 2.5e-7);
}

TEST_CASE("float64 functions are accurate to a few units in the last place") {
  CHECK(worst_error<double>(-600, 0, exp_nonpositive<double>, std::exp) < 5e-16);
  CHECK(worst_error<double>(-0.25, 0.25, expm1_small<double>, std::expm1) < 5e-16);
  CHECK(worst_error<double>(-0.25, 0.25, phi<double>, exact_phi) < 3e-15);
  CHECK(worst_error<double>(0.5, 1000, phi<double>, exact_phi) < 5e-15);
  CHECK(worst_error<double>(1.5, 1e6, log_positive<double>, std::log) < 5e-16);
}

TEST_CASE("the exponential ends in an exact zero, and begins at an exact one") {
  CHECK(exp_nonpositive(0.0f) == 1.0f);
  CHECK(exp_nonpositive(0.0) == 1.0);
  CHECK(exp_nonpositive(-87.5f) == 0.0f);
  CHECK(exp_nonpositive(-701.0) == 0.0);
  CHECK(exp_nonpositive(-INFINITY) == 0.0f);
}

/// Bits of both exponentials at every `step`-th float up to the bound, and at their negatives.
template <class Real>
void check_unreduced(typename Constants<Real>::Bits step) {
  using Bits = typename Constants<Real>::Bits;
  const Bits bound = bit_cast<Bits>(Constants<Real>::kExpUnreduced);
  bool same = true;
  for (Bits bits = 0; bits <= bound; bits += step)
    for (const Real x : {bit_cast<Real>(bits), -bit_cast<Real>(bits), bit_cast<Real>(bound - bits)})
      same = same && bit_cast<Bits>(exp_unreduced(x)) == bit_cast<Bits>(exp_normal(x));
  CHECK(same);
}

TEST_CASE("where reduction does nothing, leaving it out changes no bit") {
  check_unreduced<float>(101);
  check_unreduced<double>(Constants<double>::Bits(1) << 36 | 12'345);
}

TEST_CASE("order keys keep the order of values and lead back to them") {
  const float values[] = {-INFINITY, -3.5f, -1e-45f, 0.0f, 1e-45f, 1e-20f, 2.0f, INFINITY};
  for (size_t i = 0; i < std::size(values); i++) {
    CHECK(value_of_key(order_key(values[i])) == values[i]);
    CHECK(value_of_key(order_key(double(values[i]))) == double(values[i]));
    if (i == 0) continue;
    CHECK(order_key(values[i - 1]) < order_key(values[i]));
    CHECK(order_key(double(values[i - 1])) < order_key(double(values[i])));
  }
}

}  // namespace
}  // namespace branchmerge
