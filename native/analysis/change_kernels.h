#pragma once
// What is computed of a tile of changes: plain loops that a compiler vectorises. Sums have one shape: lane l
// adds elements l, l + 16, … in order, and the lanes are folded by halves.
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "analysis/tensor_findings.h"

namespace branchmerge {

/// Elements that are widened together; a segment of every sum.
inline constexpr size_t kChangeTile = 1024;

namespace change_kernels {

constexpr size_t kLanes = 16;

inline double fold(double* lanes) {
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

}  // namespace change_kernels

template <class Real>
void subtract(const Real* x, const Real* base, Real* change, size_t n) {
  for (size_t i = 0; i < n; i++) change[i] = x[i] - base[i];
}

template <class Real>
double dot(const Real* x, const Real* y, size_t n) {
  using namespace change_kernels;
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] += double(x[i + lane]) * double(y[i + lane]);
  for (size_t lane = 0; i + lane < n; lane++) lanes[lane] += double(x[i + lane]) * double(y[i + lane]);
  return fold(lanes);
}

struct DotAndMagnitude {
  double dot, magnitude;
};

/// Both sums have the same shape: without a negative product they are the same, to the bit.
template <class Real>
DotAndMagnitude dot_and_magnitude(const Real* x, const Real* y, size_t n) {
  using namespace change_kernels;
  double dots[kLanes] = {}, magnitudes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) {
      const double product = double(x[i + lane]) * double(y[i + lane]);
      dots[lane] += product;
      magnitudes[lane] += std::fabs(product);
    }
  for (size_t lane = 0; i + lane < n; lane++) {
    const double product = double(x[i + lane]) * double(y[i + lane]);
    dots[lane] += product;
    magnitudes[lane] += std::fabs(product);
  }
  return {fold(dots), fold(magnitudes)};
}

template <class Real>
double sum_magnitudes(const Real* x, size_t n) {
  using namespace change_kernels;
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] += double(std::fabs(x[i + lane]));
  for (size_t lane = 0; i + lane < n; lane++) lanes[lane] += double(std::fabs(x[i + lane]));
  return fold(lanes);
}

template <class Real>
uint32_t count_changed(const Real* change, size_t n) {
  uint32_t count = 0;
  for (size_t i = 0; i < n; i++) count += change[i] != 0;
  return count;
}

template <class Real>
Real largest(const Real* change, size_t n) {
  Real most = 0;
  for (size_t i = 0; i < n; i++) most = std::fabs(change[i]) > most ? std::fabs(change[i]) : most;
  return most;
}

struct SharedChanges {
  uint32_t both, opposite;
};

template <class Real>
SharedChanges count_shared(const Real* x, const Real* y, size_t n) {
  uint32_t both = 0, opposite = 0;
  for (size_t i = 0; i < n; i++) {
    both += (x[i] != 0) & (y[i] != 0);
    opposite += ((x[i] > 0) & (y[i] < 0)) | ((x[i] < 0) & (y[i] > 0));
  }
  return {both, opposite};
}

template <class Real>
uint32_t count_different(const Real* x, const Real* y, size_t n) {
  uint32_t count = 0;
  for (size_t i = 0; i < n; i++) count += x[i] != y[i];
  return count;
}

inline uint32_t count_set(const int32_t* flags, size_t n) {
  uint32_t count = 0;
  for (size_t i = 0; i < n; i++) count += flags[i] != 0;
  return count;
}

struct Survivors {
  uint32_t taken, undone;
};

/// Of the elements that the expert changed. Sets from_experts where the merged value is the expert's and not
/// the base's.
template <class Real>
Survivors count_survivors(const Real* base, const Real* expert, const Real* merged, int32_t* from_experts,
                          size_t n) {
  uint32_t taken = 0, undone = 0;
  for (size_t i = 0; i < n; i++) {
    const int32_t changed = expert[i] != base[i];
    const int32_t is_expert = changed & (merged[i] == expert[i]);
    taken += uint32_t(is_expert);
    undone += uint32_t(changed & (merged[i] == base[i]));
    from_experts[i] |= is_expert;
  }
  return {taken, undone};
}

inline void magnitude_keys(const float* change, uint32_t* keys, size_t n) {
  for (size_t i = 0; i < n; i++) keys[i] = std::bit_cast<uint32_t>(change[i]) & 0x7fffffff;
}
inline void magnitude_keys(const double* change, uint64_t* keys, size_t n) {
  for (size_t i = 0; i < n; i++) keys[i] = std::bit_cast<uint64_t>(change[i]) & 0x7fffffffffffffff;
}

/// In how many supports each element is: they are nested, the smallest first.
template <class Real>
void support_levels(const Real* change, const Real* thresholds, int32_t* levels, size_t n) {
  const Real t0 = thresholds[0], t1 = thresholds[1], t2 = thresholds[2], t3 = thresholds[3];
  for (size_t i = 0; i < n; i++) {
    const Real magnitude = std::fabs(change[i]);
    levels[i] = int32_t(magnitude >= t0) + int32_t(magnitude >= t1) + int32_t(magnitude >= t2) +
                int32_t(magnitude >= t3);
  }
}

/// Of each support, as kSupportPercents.
using LevelCounts = std::array<uint32_t, kSupportLevels>;

inline LevelCounts count_levels(const int32_t* levels, size_t n) {
  uint32_t one = 0, two = 0, three = 0, four = 0;
  for (size_t i = 0; i < n; i++) {
    one += levels[i] >= 1;
    two += levels[i] >= 2;
    three += levels[i] >= 3;
    four += levels[i] >= 4;
  }
  return {four, three, two, one};
}

struct SharedLevels {
  LevelCounts both, opposite;
};

template <class Real>
SharedLevels count_shared_levels(const int32_t* x_levels, const int32_t* y_levels, const Real* x,
                                 const Real* y, size_t n) {
  std::array<int32_t, kChangeTile> shared, opposite;
  for (size_t i = 0; i < n; i++) {
    shared[i] = x_levels[i] < y_levels[i] ? x_levels[i] : y_levels[i];
    // All that is in a support changed.
    opposite[i] = (x[i] < 0) != (y[i] < 0) ? shared[i] : 0;
  }
  return {count_levels(shared.data(), n), count_levels(opposite.data(), n)};
}

}  // namespace branchmerge
