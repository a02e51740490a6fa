#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "sft/model/parameters.h"
#include "sft/parallel/parameter_store.h"

namespace branchmerge::sft {

/// A linear regression spread over many blocks of awkward sizes, with gradients by hand: what a decoder is to
/// the parameter store. The first block is held from the beginning to the end of both passes, as a tied
/// embedding is.
ParameterLayout regression_layout();

inline constexpr size_t kSamplesOfStep = 12;  // divisible by 1, 2, 3, 4 and 6 processes

struct RegressionOptions {
  int zero_stage = 0;
  size_t threads = 1;
  AdamWOptions adam = {.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.05};
  std::optional<double> max_gradient_norm = 1.0;
  std::optional<size_t> poisoned_step = {};  // there, the last rank's gradient has a NaN
  std::optional<size_t> lost_step = {};      // there, the last rank's loss is not finite
};

struct RegressionStep {
  double loss, gradient_norm;
  bool skipped;
};

/// One process's share of a training run on a store.
class RegressionRun {
 public:
  RegressionRun(Collectives& collectives, const RegressionOptions& options);

  ParameterStore& store() { return store_; }

  /// Starting values, read slice by slice as from a checkpoint.
  void initialise();
  /// Steps first … last - 1.
  void train(size_t first, size_t last);
  const std::vector<RegressionStep>& steps() const { return steps_; }

  /// All weights, by parameter. Collective.
  std::vector<float> weights();

 private:
  double micro_batch(size_t first_sample, bool poisoned);

  Collectives& collectives_;
  RegressionOptions options_;
  ParameterLayout layout_;
  WorkerPool workers_;
  ParameterStore store_;
  std::vector<RegressionStep> steps_;
};

/// The same in float64, with textbook AdamW and neither blocks nor processes.
struct SlowRegression {
  explicit SlowRegression(const RegressionOptions& options);
  void train(size_t first, size_t last);

  RegressionOptions options;
  std::vector<double> weights, first_moments, second_moments;
  std::vector<bool> is_matrix;
  std::vector<RegressionStep> steps;
  double updates = 0;
};

/// Learning rate of a step: rises, then falls.
double regression_learning_rate(size_t step);

}  // namespace branchmerge::sft
