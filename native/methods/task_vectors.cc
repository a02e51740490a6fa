#include "methods/task_vectors.h"

#include <cmath>
#include <utility>

#include "base/lane_sums.h"
#include "methods/method_operator.h"
#include "methods/sign_election.h"
#include "methods/weights.h"

namespace branchmerge {
namespace {

class TaskVectors final : public MethodOperator {
 public:
  TaskVectors(const OperandInfo& info, DType output_dtype, size_t operands,
              const MethodParameters& parameters, std::unique_ptr<Thinning> thinning, Combine combine)
      : MethodOperator(info, output_dtype, operands, Base::kSubtracted),
        thinning_(std::move(thinning)),
        elects_(combine == Combine::kElection),
        normalize_(parameter(parameters, "normalize") != 0),
        rescale_(parameter(parameters, "rescale") != 0),
        lambda_(parameter(parameters, "lambda")),
        weights_(parameter_list(parameters, "weight", operands - 1)),
        divisor_(normalize_ && !elects_ ? sum_of_weights(info, weights_) : 1),
        ones_(weights_.size(), 1.0),
        factors_(weights_) {}

 private:
  void analyse(Passes& passes) override {
    thinning_->prepare(passes);
    if (rescale_ && thins()) rescale(passes);
  }

  bool thins() const {
    for (size_t m = 0; m < weights_.size(); m++)
      if (!thinning_->keeps_everything(m)) return true;
    return false;
  }

  /// Makes up for the L1 norm that a difference lost.
  void rescale(Passes& passes) {
    const size_t inputs = weights_.size();
    const std::vector<double> norms = passes.sum(
        0, passes.elements(), 2 * inputs, [&](size_t worker, uint64_t begin, uint64_t end, double* sums) {
          thinning_->enter(worker, tiles(), passes.operands(), begin, end);
          passes.read(worker, begin, end, [&](const Tile& tile) {
            for (size_t m = 0; m < inputs; m++) {
              sums[2 * m] += sum_of_magnitudes(tile.inputs[m], tile.size);
              thinning_->thin(worker, m, tile.begin, tile.inputs[m], tile.size);
              sums[2 * m + 1] += sum_of_magnitudes(tile.inputs[m], tile.size);
            }
          });
        });
    for (size_t m = 0; m < inputs; m++)
      if (norms[2 * m + 1] != 0) factors_[m] = weights_[m] * (norms[2 * m] / norms[2 * m + 1]);
  }

  void enter(size_t worker, const Readers& operands, uint64_t begin, uint64_t end) override {
    thinning_->enter(worker, tiles(), operands, begin, end);
  }

  void combine(size_t worker, const Tile& tile, double* result) override {
    for (size_t m = 0; m < weights_.size(); m++) {
      double* difference = tile.inputs[m];
      thinning_->thin(worker, m, tile.begin, difference, tile.size);
      for (size_t i = 0; i < tile.size; i++) difference[i] *= factors_[m];
    }
    sum_votes(tile.inputs, weights_.size(), tile.size, result);
    if (elects_)
      elect(tile, result);
    else if (normalize_)
      for (size_t i = 0; i < tile.size; i++) result[i] /= divisor_;
    for (size_t i = 0; i < tile.size; i++) result[i] = tile.base[i] + lambda_ * result[i];
  }

  /// From the sums of the votes to those of the inputs that agree.
  void elect(const Tile& tile, double* result) const {
    Agreement agreed;
    find_agreement(tile.inputs, weights_, ones_, tile.size, result, agreed);
    for (size_t i = 0; i < tile.size; i++) {
      const double weight = agreed.weight[i];
      const bool divides = normalize_ & (std::fabs(weight) > kCancellingWeights * agreed.magnitudes[i]);
      result[i] = agreed.sum[i] / (divides ? weight : 1);
    }
  }

  const std::unique_ptr<Thinning> thinning_;
  const bool elects_, normalize_, rescale_;
  const double lambda_;
  const std::vector<double> weights_;
  const double divisor_;
  const std::vector<double> ones_;
  std::vector<double> factors_;  // weights and rescaling
};

}  // namespace

std::unique_ptr<TensorOperator> make_task_vectors(const OperandInfo& info, DType output_dtype,
                                                  size_t operands, const MethodParameters& parameters,
                                                  std::unique_ptr<Thinning> thinning, Combine combine) {
  return std::make_unique<TaskVectors>(info, output_dtype, operands, parameters, std::move(thinning),
                                       combine);
}

}  // namespace branchmerge
