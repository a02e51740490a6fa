#include "regression.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace branchmerge::sft {
namespace {

/// A number in [-1, 1) that depends on its arguments alone.
double pseudo_random(uint64_t stream, uint64_t index) {
  uint64_t x = stream * 0x9E3779B97F4A7C15ULL + index * 0xD1B54A32D192ED03ULL + 0x2545F4914F6CDD1DULL;
  for (int round = 0; round < 3; round++) x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9ULL;
  return static_cast<double>(x >> 11) * 0x1p-52 - 1;
}

// Everything is indexed by the parameter's and the element's number, so that it does not depend on the
// layout.
uint64_t key(size_t parameter, uint64_t element) { return parameter * 1'000'000 + element; }
float start_value(size_t parameter, uint64_t element) {
  return static_cast<float>(0.1 * pseudo_random(1, key(parameter, element)));
}
float feature(size_t sample, size_t parameter, uint64_t element) {
  return static_cast<float>(pseudo_random(100 + sample, key(parameter, element)));
}
float target(size_t sample) { return static_cast<float>(5 * pseudo_random(2, sample)); }

}  // namespace

ParameterLayout regression_layout() {
  const std::vector<std::vector<std::vector<uint64_t>>> shapes = {
      {{1}},           {{15}}, {{17}, {3, 7}, {1}}, {{11, 13}, {101}}, {{11, 13}, {101}}, {{13, 11}, {101}},
      {{1009, 1}, {2}}};
  ParameterLayout layout;
  for (size_t block = 0; block < shapes.size(); block++) {
    size_t floats = 0;
    for (const auto& shape : shapes[block]) {
      const std::string name = "parameter." + std::to_string(layout.parameters.size());
      layout.parameters.push_back({name, shape, block, floats, shape.size() == 2});
      floats = (floats + layout.parameters.back().elements() + 15) / 16 * 16;
    }
    layout.block_floats.push_back(floats);
  }
  return layout;
}

double regression_learning_rate(size_t step) {
  return 0.02 * std::min(static_cast<double>(step) / 2, 1 / (1 + 0.1 * static_cast<double>(step)));
}

RegressionRun::RegressionRun(Collectives& collectives, const RegressionOptions& options)
    : collectives_(collectives),
      options_(options),
      layout_(regression_layout()),
      workers_(options.threads),
      store_(layout_, options.zero_stage, collectives, workers_) {}

void RegressionRun::initialise() {
  for (size_t number = 0; number < layout_.parameters.size(); number++) {
    const Parameter& parameter = layout_.parameters[number];
    const auto [begin, values] = store_.weight_slice(parameter.block);
    for (uint64_t element = 0; element < parameter.elements(); element++) {
      const uint64_t at = parameter.offset + element;
      if (at >= begin && at < begin + values.size()) values[at - begin] = start_value(number, element);
    }
  }
  store_.share_weights();
}

void RegressionRun::train(size_t first, size_t last) {
  const size_t ranks = collectives_.size(), rank = collectives_.rank();
  const bool is_last_rank = rank + 1 == ranks;
  for (size_t step = first; step < last; step++) {
    double loss = 0;
    for (size_t micro = 0; micro < kSamplesOfStep / ranks; micro++)
      loss += micro_batch((step % 2) * kSamplesOfStep + micro * ranks + rank,
                          micro == 0 && is_last_rank && options_.poisoned_step == step);
    if (is_last_rank && options_.lost_step == step) loss = std::numeric_limits<double>::infinity();
    const UpdateResult result = store_.update({.adam = options_.adam,
                                               .learning_rate = regression_learning_rate(step),
                                               .max_gradient_norm = options_.max_gradient_norm,
                                               .loss_is_finite = std::isfinite(loss)});
    collectives_.all_reduce_sum(std::span(&loss, 1));
    steps_.push_back({loss, result.gradient_norm, result.skipped});
  }
}

/// Half the squared error of one sample, over kSamplesOfStep, and its gradient.
double RegressionRun::micro_batch(size_t sample, bool poisoned) {
  const float* const first_weights = store_.weights().acquire(0);
  float* const first_gradients = store_.gradients().acquire(0);
  double error = -target(sample);
  for (size_t number = 0; number < layout_.parameters.size(); number++) {
    const Parameter& parameter = layout_.parameters[number];
    const float* const weights =
        parameter.block == 0 ? first_weights : store_.weights().acquire(parameter.block);
    for (uint64_t i = 0; i < parameter.elements(); i++)
      error += static_cast<double>(weights[parameter.offset + i]) * feature(sample, number, i);
    if (parameter.block != 0) store_.weights().release(parameter.block);
  }
  const auto scaled = static_cast<float>(error / kSamplesOfStep);
  for (size_t block = layout_.block_floats.size(); block-- > 0;) {
    // A decoder needs the weights of the layer once more.
    if (block != 0) store_.weights().acquire(block);
    float* const gradients = block == 0 ? first_gradients : store_.gradients().acquire(block);
    for (size_t number = 0; number < layout_.parameters.size(); number++) {
      const Parameter& parameter = layout_.parameters[number];
      if (parameter.block != block) continue;
      for (uint64_t i = 0; i < parameter.elements(); i++)
        gradients[parameter.offset + i] += scaled * feature(sample, number, i);
    }
    if (poisoned && block == 4) gradients[7] = std::numeric_limits<float>::quiet_NaN();
    store_.gradients().release(block);
    if (block != 0) store_.weights().release(block);
  }
  store_.weights().release(0);
  return 0.5 * error * error / kSamplesOfStep;
}

std::vector<float> RegressionRun::weights() {
  std::vector<float> all;
  for (const Parameter& parameter : layout_.parameters) {
    const float* const weights = store_.weights().acquire(parameter.block) + parameter.offset;
    all.insert(all.end(), weights, weights + parameter.elements());
    store_.weights().release(parameter.block);
  }
  return all;
}

SlowRegression::SlowRegression(const RegressionOptions& run_options) : options(run_options) {
  const ParameterLayout layout = regression_layout();
  for (size_t number = 0; number < layout.parameters.size(); number++)
    for (uint64_t i = 0; i < layout.parameters[number].elements(); i++) {
      weights.push_back(start_value(number, i));
      is_matrix.push_back(layout.parameters[number].is_matrix);
    }
  first_moments.resize(weights.size());
  second_moments.resize(weights.size());
}

void SlowRegression::train(size_t first, size_t last) {
  const ParameterLayout layout = regression_layout();
  for (size_t step = first; step < last; step++) {
    std::vector<double> gradients(weights.size());
    double loss = 0;
    for (size_t sample = step % 2 * kSamplesOfStep; sample < (step % 2 + 1) * kSamplesOfStep; sample++) {
      std::vector<double> features;
      for (size_t number = 0; number < layout.parameters.size(); number++)
        for (uint64_t i = 0; i < layout.parameters[number].elements(); i++)
          features.push_back(feature(sample, number, i));
      const double error =
          std::inner_product(features.begin(), features.end(), weights.begin(), 0.0) - target(sample);
      loss += 0.5 * error * error / kSamplesOfStep;
      for (size_t i = 0; i < weights.size(); i++) gradients[i] += error / kSamplesOfStep * features[i];
    }
    const double norm =
        std::sqrt(std::inner_product(gradients.begin(), gradients.end(), gradients.begin(), 0.0));
    const bool skipped = options.poisoned_step == step || options.lost_step == step;
    steps.push_back({loss, norm, skipped});
    if (skipped) continue;

    const double limit = options.max_gradient_norm.value_or(std::numeric_limits<double>::infinity());
    if (norm > limit)
      for (double& gradient : gradients) gradient *= limit / norm;
    const double rate = regression_learning_rate(step);
    const AdamWOptions& adam = options.adam;
    updates++;
    for (size_t i = 0; i < weights.size(); i++) {
      first_moments[i] = adam.beta1 * first_moments[i] + (1 - adam.beta1) * gradients[i];
      second_moments[i] = adam.beta2 * second_moments[i] + (1 - adam.beta2) * gradients[i] * gradients[i];
      const double mean = first_moments[i] / (1 - std::pow(adam.beta1, updates));
      const double variance = second_moments[i] / (1 - std::pow(adam.beta2, updates));
      if (adam.decay == Decay::kAll || is_matrix[i]) weights[i] *= 1 - rate * adam.weight_decay;
      weights[i] -= rate * mean / (std::sqrt(variance) + adam.epsilon);
    }
  }
}

}  // namespace branchmerge::sft
