#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace branchmerge::sft {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

/// Normally distributed numbers, the same in every run.
inline Floats random_floats(size_t n, uint32_t seed, float deviation = 1, float mean = 0) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(mean, deviation);
  Floats values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

inline Doubles to_doubles(std::span<const float> values) { return {values.begin(), values.end()}; }

/// The largest difference, as a fraction of the largest expected magnitude.
inline double relative_error(std::span<const float> actual, std::span<const double> expected) {
  double largest = 0, difference = 0;
  for (size_t i = 0; i < actual.size(); i++) {
    largest = std::max(largest, std::fabs(expected[i]));
    const double here = std::fabs(double(actual[i]) - expected[i]);
    if (!(here <= difference)) difference = here;  // keeps NaN
  }
  return largest == 0 ? difference : difference / largest;
}

/// What float32 must reach against float64: see docs/sft-model.md.
inline constexpr double kTolerance = 1e-5;

inline void check_close(std::span<const float> actual, std::span<const double> expected,
                        const std::string& what) {
  REQUIRE(actual.size() == expected.size());
  const double error = relative_error(actual, expected);
  CHECK_MESSAGE(error <= kTolerance, what << " differs by " << error);
}

/// The gradient of a function by central differences. In float64 its error is about 1e-9.
template <class Function>
Doubles numeric_gradient(const Doubles& at, const Function& function) {
  constexpr double kStep = 1e-5;
  Doubles x = at, gradient(at.size());
  for (size_t i = 0; i < x.size(); i++) {
    x[i] = at[i] + kStep;
    const double above = function(x);
    x[i] = at[i] - kStep;
    const double below = function(x);
    x[i] = at[i];
    gradient[i] = (above - below) / (2 * kStep);
  }
  return gradient;
}

inline double dot(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); i++) sum += x[i] * y[i];
  return sum;
}

}  // namespace branchmerge::sft
