// Select, calculate, erase: docs/methods/sce.md.
#include <cmath>
#include <limits>

#include "base/lane_sums.h"
#include "methods/inner_products.h"
#include "methods/keep_if.h"
#include "methods/magnitude_ranks.h"
#include "methods/method.h"
#include "methods/method_operator.h"
#include "methods/sign_election.h"

namespace branchmerge {
namespace {

class Sce final : public MethodOperator {
 public:
  Sce(const OperandInfo& info, DType output_dtype, size_t operands, double select)
      : MethodOperator(info, output_dtype, operands, Base::kSubtracted), select_(select) {}

 private:
  void analyse(Passes& passes) override {
    variances_.resize(passes.pool().workers());
    for (std::vector<double>& each : variances_) each.resize(kTile);
    if (select_ < 1) least_variance_ = find_threshold(passes);
    find_weights(passes);
  }

  /// V of each element: the inputs' squared deviations from their mean, in the order that the page gives.
  const double* variances(size_t worker, const Tile& tile) {
    const size_t inputs = tiles().inputs();
    double* result = variances_[worker].data();
    double mean[kTile];
    sum_votes(tile.inputs, inputs, tile.size, mean);
    for (size_t i = 0; i < tile.size; i++) {
      mean[i] /= double(inputs);
      result[i] = 0;
    }
    for (size_t m = 0; m < inputs; m++)
      for (size_t i = 0; i < tile.size; i++) {
        const double deviation = tile.inputs[m][i] - mean[i];
        result[i] += deviation * deviation;
      }
    return result;
  }

  double find_threshold(Passes& passes) {
    const uint64_t n = passes.elements(),
                   selected = uint64_t(std::floor(select_ * double(count_varying(passes))));
    if (selected == 0) return std::numeric_limits<double>::infinity();
    return magnitudes_at_ranks(passes, {n - selected}, false,
                               [&](size_t worker, const Tile& tile) { return variances(worker, tile); })[0];
  }

  uint64_t count_varying(Passes& passes) {
    std::vector<uint64_t> counts(passes.pool().workers());
    passes.for_blocks([&](size_t worker, size_t, uint64_t begin, uint64_t end) {
      passes.read(worker, begin, end, [&](const Tile& tile) {
        const double* variance = variances(worker, tile);
        for (size_t i = 0; i < tile.size; i++) counts[worker] += variance[i] > 0;
      });
    });
    uint64_t varying = 0;
    for (const uint64_t count : counts) varying += count;
    return varying;
  }

  /// Drops the differences of elements that vary less than the threshold.
  void select(size_t worker, const Tile& tile) {
    if (select_ >= 1) return;
    const double* variance = variances(worker, tile);
    for (size_t m = 0; m < tiles().inputs(); m++)
      for (size_t i = 0; i < tile.size; i++)
        tile.inputs[m][i] = keep_if(variance[i] >= least_variance_, tile.inputs[m][i]);
  }

  /// Each input's share of the energy of all.
  void find_weights(Passes& passes) {
    const size_t inputs = passes.inputs();
    const std::vector<double> scales = InnerProducts(passes).scales();
    const double scale = *std::min_element(scales.begin(), scales.end());
    const std::vector<double> energies = passes.sum(
        0, passes.elements(), inputs, [&](size_t worker, uint64_t begin, uint64_t end, double* sums) {
          passes.read(worker, begin, end, [&](const Tile& tile) {
            select(worker, tile);
            for (size_t m = 0; m < inputs; m++)
              sums[m] += sum_in_lanes(tile.size, [&, input = tile.inputs[m]](size_t i) {
                return input[i] * scale * (input[i] * scale);
              });
          });
        });
    double total = 0;
    for (const double energy : energies) total += energy;
    for (const double energy : energies) weights_.push_back(total == 0 ? 1 / double(inputs) : energy / total);
  }

  void combine(size_t worker, const Tile& tile, double* result) override {
    select(worker, tile);
    double votes[kTile];
    sum_votes(tile.inputs, tiles().inputs(), tile.size, votes);
    Agreement agreed;
    find_agreement(tile.inputs, weights_, weights_, tile.size, votes, agreed);
    for (size_t i = 0; i < tile.size; i++) {
      const double weight = agreed.weight[i];
      result[i] = tile.base[i] + (weight == 0 ? 0 : agreed.sum[i] / (weight == 0 ? 1 : weight));
    }
  }

  const double select_;
  double least_variance_ = 0;
  std::vector<std::vector<double>> variances_;  // a tile of each worker
  std::vector<double> weights_;
};

}  // namespace

std::unique_ptr<TensorOperator> make_sce(const OperandInfo& info, DType output_dtype, size_t operands,
                                         const MethodParameters& parameters) {
  check_operands("sce", operands, 3);
  return std::make_unique<Sce>(info, output_dtype, operands, parameter(parameters, "selectTopk"));
}

}  // namespace branchmerge
