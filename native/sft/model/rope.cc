#include "sft/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace branchmerge::sft {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

/// The base that stretches the lowest frequency by the ratio of the lengths (NTK-aware scaling).
double dynamic_theta(const RopeConfig& rope, double head_dim, double sequence_length) {
  const double length = std::max(sequence_length, rope.original_max_positions);
  const double stretch = rope.factor * length / rope.original_max_positions - (rope.factor - 1);
  return rope.theta * std::pow(stretch, head_dim / (head_dim - 2));
}

/// The pair, counted in dimensions, that turns `rotations` times over the original length.
double dimension_of(const RopeConfig& rope, double head_dim, double rotations) {
  return head_dim * std::log(rope.original_max_positions / (rotations * kTwoPi)) / (2 * std::log(rope.theta));
}

/// How much of pair i's frequency is interpolated (divided by the factor): 0 … 1.
class YarnRamp {
 public:
  YarnRamp(const RopeConfig& rope, double head_dim)
      : low_(dimension_of(rope, head_dim, rope.beta_fast)),
        high_(dimension_of(rope, head_dim, rope.beta_slow)) {
    if (rope.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, head_dim - 1);
    if (low_ == high_) high_ += 0.001;
  }

  double operator()(double pair) const { return std::clamp((pair - low_) / (high_ - low_), 0.0, 1.0); }

 private:
  double low_, high_;
};

double llama3_frequency(const RopeConfig& rope, double frequency) {
  const double wavelength = kTwoPi / frequency;
  if (wavelength < rope.original_max_positions / rope.high_frequency_factor) return frequency;
  if (wavelength > rope.original_max_positions / rope.low_frequency_factor) return frequency / rope.factor;
  const double smooth = (rope.original_max_positions / wavelength - rope.low_frequency_factor) /
                        (rope.high_frequency_factor - rope.low_frequency_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeConfig& rope, size_t head_dim, size_t sequence_length) {
  const auto dimensions = double(head_dim);
  const double theta =
      rope.type == RopeType::kDynamic ? dynamic_theta(rope, dimensions, double(sequence_length)) : rope.theta;
  const YarnRamp ramp(rope, dimensions);
  std::vector<float> frequencies(head_dim / 2);
  for (size_t i = 0; i < frequencies.size(); i++) {
    double frequency = std::pow(theta, -2 * double(i) / dimensions);
    if (rope.type == RopeType::kLinear) frequency /= rope.factor;
    if (rope.type == RopeType::kLlama3) frequency = llama3_frequency(rope, frequency);
    if (rope.type == RopeType::kYarn) {
      const double interpolated = ramp(double(i));
      frequency *= interpolated / rope.factor + (1 - interpolated);
    }
    frequencies[i] = float(frequency);
  }
  return frequencies;
}

}  // namespace branchmerge::sft
