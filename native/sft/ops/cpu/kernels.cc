// Compiled once for each instruction set, with BRANCHMERGE_ISA as its name. Plain loops over lanes, which the
// compiler vectorises; no libm in them.
#include "sft/ops/cpu/kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace branchmerge::sft::cpu::BRANCHMERGE_ISA {
namespace {

/// Terms that a lane adds in float32 before its sum goes into float64.
constexpr size_t kTermsPerLane = 64;
/// Rows that a reduction over rows adds in float32 before it goes on in float64.
constexpr size_t kRowsPerPartialSum = 64;

/// exp(x) within 2 units in the last place; 0 below the smallest normal result, infinity above the largest.
/// x = n ln 2 + r with |r| ≤ ln 2 / 2: a polynomial gives e^r, and n goes into the exponent in two halves,
/// for no float32 is 2^128.
inline float exponential(float x) {
  constexpr float kLowest = -87.33654F, kHighest = 88.72283F;
  constexpr float kRound = 12582912.0F;  // 1.5 · 2^23: after adding it the low bits are the nearest integer
  const float clamped = std::min(std::max(x, kLowest), kHighest);
  const float shifted = clamped * 1.44269504F + kRound;
  const float n = shifted - kRound;
  // ln 2 in two parts, the first with so few bits that n times it is exact.
  const float r = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  // (e^r − 1 − r) / r² interpolated at the Chebyshev nodes of the interval: e^r is exact to 1e-9.
  float p = 1.989099110e-04F;
  p = p * r + 1.393364975e-03F;
  p = p * r + 8.333310485e-03F;
  p = p * r + 4.166646674e-02F;
  p = p * r + 1.666666716e-01F;
  p = p * r + 0.5F;
  const float power = p * r * r + r + 1.0F;
  const auto exponent = int32_t(std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound));
  const int32_t half = exponent >> 1;
  const auto two_to = [](int32_t e) { return std::bit_cast<float>(uint32_t(e + 127) << 23); };
  const float result = power * two_to(half) * two_to(exponent - half);
  // NaN fails both comparisons and is in result.
  return x < kLowest ? 0.0F : x > kHighest ? std::numeric_limits<float>::infinity() : result;
}

/// Σ term(i), in lanes.
template <class Term>
inline double sum(size_t n, const Term& term) {
  constexpr size_t kSegment = kLanes * kTermsPerLane;
  double total = 0;
  for (size_t begin = 0; begin < n; begin += kSegment) {
    const size_t end = std::min(n, begin + kSegment);
    float lanes[kLanes] = {};
    size_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] += term(i + lane);
    for (size_t lane = 0; i + lane < end; lane++) lanes[lane] += term(i + lane);
    for (size_t half = kLanes / 2; half > 0; half /= 2)
      for (size_t lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
    total += lanes[0];
  }
  return total;
}

/// The largest element; NaN elements are passed over.
inline float maximum(size_t n, const float* x, float start) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, start);
  size_t i = 0;
  // Not std::max: its references keep GCC from vectorising.
  const auto larger = [](float a, float b) { return a < b ? b : a; };
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] = larger(lanes[lane], x[i + lane]);
  for (; i < n; i++) lanes[0] = larger(lanes[0], x[i]);
  return *std::max_element(lanes, lanes + kLanes);
}

/// sums[c] += Σ over rows of term(row, c), for up to kColumns columns.
template <class Term>
inline void sum_rows(size_t rows, size_t columns, float* sums, const Term& term) {
  double totals[kColumns] = {};
  for (size_t begin = 0; begin < rows; begin += kRowsPerPartialSum) {
    const size_t end = std::min(rows, begin + kRowsPerPartialSum);
    float partial[kColumns] = {};
    for (size_t row = begin; row < end; row++)
      for (size_t c = 0; c < columns; c++) partial[c] += term(row, c);
    for (size_t c = 0; c < columns; c++) totals[c] += partial[c];
  }
  for (size_t c = 0; c < columns; c++) sums[c] = float(sums[c] + totals[c]);
}

float rms_norm(size_t n, const float* x, const float* weight, float epsilon, float* y) {
  const double squares = sum(n, [=](size_t i) { return x[i] * x[i]; });
  const auto inverse_rms = float(1 / std::sqrt(squares / double(n) + epsilon));
  for (size_t i = 0; i < n; i++) y[i] = weight[i] * (x[i] * inverse_rms);
  return inverse_rms;
}

void rms_norm_backward(size_t n, const float* x, const float* weight, float inverse_rms, const float* dy,
                       bool accumulate, float* dx) {
  const double product = sum(n, [=](size_t i) { return dy[i] * weight[i] * (x[i] * inverse_rms); });
  const auto mean = float(product / double(n));
  const auto gradient = [=](size_t i) {
    return inverse_rms * (dy[i] * weight[i] - (x[i] * inverse_rms) * mean);
  };
  if (accumulate) {
    for (size_t i = 0; i < n; i++) dx[i] += gradient(i);
  } else {
    for (size_t i = 0; i < n; i++) dx[i] = gradient(i);
  }
}

void rms_norm_weight_gradient(size_t rows, size_t columns, const float* x, size_t x_stride,
                              const float* inverse_rms, size_t inverse_rms_stride, const float* dy,
                              size_t dy_stride, float* sums) {
  sum_rows(rows, columns, sums, [=](size_t row, size_t c) {
    return dy[row * dy_stride + c] * (x[row * x_stride + c] * inverse_rms[row * inverse_rms_stride]);
  });
}

void column_sums(size_t rows, size_t columns, const float* x, size_t stride, float* sums) {
  sum_rows(rows, columns, sums, [=](size_t row, size_t c) { return x[row * stride + c]; });
}

void rope(size_t half, float* x, const float* cosines, const float* sines, float sign) {
  float* const y = x + half;
  for (size_t i = 0; i < half; i++) {
    const float sine = sign * sines[i], a = x[i], b = y[i];
    x[i] = a * cosines[i] - b * sine;
    y[i] = b * cosines[i] + a * sine;
  }
}

void add(size_t n, const float* x, float* y) {
  for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void multiply(size_t n, float factor, float* y) {
  for (size_t i = 0; i < n; i++) y[i] *= factor;
}

float dot(size_t n, const float* x, const float* y) {
  return float(sum(n, [=](size_t i) { return x[i] * y[i]; }));
}

inline float sigmoid(float x) { return 1.0F / (1.0F + exponential(-x)); }

void swiglu(size_t n, const float* gate, const float* up, float* y) {
  for (size_t i = 0; i < n; i++) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

void swiglu_backward(size_t n, float* gate, float* up, const float* dy) {
  for (size_t i = 0; i < n; i++) {
    const float g = gate[i], s = sigmoid(g);
    gate[i] = dy[i] * up[i] * s * (1.0F + g * (1.0F - s));
    up[i] = dy[i] * g * s;
  }
}

float softmax_step(size_t n, float scale, float* scores, RunningSoftmax* state) {
  const float largest = std::max(state->maximum, scale * maximum(n, scores, scores[0]));
  const float correction = exponential(state->maximum - largest);
  for (size_t i = 0; i < n; i++) scores[i] = exponential(scale * scores[i] - largest);
  state->sum = float(state->sum * correction + sum(n, [=](size_t i) { return scores[i]; }));
  state->maximum = largest;
  return correction;
}

void softmax_backward(size_t n, float scale, float log_sum, float delta, float* scores, float* dscores) {
  for (size_t i = 0; i < n; i++) {
    const float p = exponential(scale * scores[i] - log_sum);
    scores[i] = p;
    dscores[i] = p * (dscores[i] - delta) * scale;
  }
}

double log_sum_exp(size_t n, const float* logits, float largest) {
  return largest + std::log(sum(n, [=](size_t i) { return exponential(logits[i] - largest); }));
}

float cross_entropy(size_t n, const float* logits, size_t target) {
  return float(log_sum_exp(n, logits, maximum(n, logits, logits[0])) - logits[target]);
}

float cross_entropy_backward(size_t n, float* logits, size_t target, float scale) {
  const float largest = maximum(n, logits, logits[0]), correct = logits[target];
  for (size_t i = 0; i < n; i++) logits[i] = exponential(logits[i] - largest);
  const double total = sum(n, [=](size_t i) { return logits[i]; });
  multiply(n, float(scale / total), logits);
  logits[target] -= scale;
  return float(largest + std::log(total) - correct);
}

void exponential_of(size_t n, const float* x, float* y) {
  for (size_t i = 0; i < n; i++) y[i] = exponential(x[i]);
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels = {rms_norm,
                          rms_norm_backward,
                          rms_norm_weight_gradient,
                          column_sums,
                          rope,
                          add,
                          multiply,
                          dot,
                          swiglu,
                          swiglu_backward,
                          softmax_step,
                          softmax_backward,
                          cross_entropy,
                          cross_entropy_backward,
                          exponential_of};

}  // namespace branchmerge::sft::cpu::BRANCHMERGE_ISA
