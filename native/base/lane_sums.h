#pragma once
#include <cmath>
#include <cstddef>

namespace branchmerge {

/// A tile's sum has one shape on every machine: lane l adds the elements l, l + kLanes, … in order, and the
/// lanes are folded by halves.
template <class Term>
double sum_in_lanes(size_t n, const Term& term) {
  constexpr size_t kLanes = 16;
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] += term(i + lane);
  for (size_t lane = 0; i + lane < n; lane++) lanes[lane] += term(i + lane);
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

inline double sum_of_products(const double* x, const double* y, size_t n) {
  return sum_in_lanes(n, [=](size_t i) { return x[i] * y[i]; });
}

inline double sum_of_magnitudes(const double* x, size_t n) {
  return sum_in_lanes(n, [=](size_t i) { return std::fabs(x[i]); });
}

}  // namespace branchmerge
