// Mean direction times mean norm: docs/methods/multislerp.md.
#include <cmath>
#include <string>

#include "base/error.h"
#include "methods/inner_products.h"
#include "methods/linear_combination.h"
#include "methods/method.h"
#include "methods/weights.h"

namespace branchmerge {
namespace {

/// Below this part of the unit vectors' lengths their sum is no direction: rounding errors would decide it.
constexpr double kCancellingDirections = 1e-4;

LinearCombination multislerp(Passes& passes, const std::vector<double>& weights, double epsilon) {
  const size_t inputs = weights.size();
  const GramMatrix gram = InnerProducts(passes).of_tensor();
  // a = Σ factors[m]·v_m, and lengths[m] is the signed length of its term.
  std::vector<double> factors(inputs), lengths(inputs);
  double mean_norm = 0, sum_of_lengths = 0, square = 0;
  bool all_zero = true;
  for (size_t m = 0; m < inputs; m++) {
    if (gram.is_zero(m)) continue;
    all_zero = false;
    factors[m] = weights[m] / (gram.norm(m) + epsilon);
    lengths[m] = factors[m] * gram.norm(m);
    mean_norm += weights[m] * gram.norm(m);
    sum_of_lengths += std::fabs(lengths[m]);
  }
  if (all_zero) return {factors};
  for (size_t i = 0; i < inputs; i++)
    for (size_t j = 0; j < inputs; j++) square += lengths[i] * lengths[j] * gram.cosine(i, j);
  const double length = std::sqrt(square < 0 ? 0 : square);
  if (length <= kCancellingDirections * sum_of_lengths) {
    if (inputs == 2) return {weights};
    throw Error("ERR_INVALID_ARGUMENT", "Expected inputs with a mean direction for tensor '" +
                                            passes.info().name + "', but the directions of its " +
                                            std::to_string(inputs) +
                                            " inputs cancel. Choose other weights, or another method.");
  }
  return {factors, length, mean_norm};
}

}  // namespace

std::unique_ptr<TensorOperator> make_multislerp(const OperandInfo& info, DType output_dtype, size_t operands,
                                                const MethodParameters& parameters) {
  check_operands("multislerp", operands, 1);
  // The weights tell whether there is a base: they are one for each input.
  const auto given = parameters.find("weight");
  const bool has_base = given != parameters.end() && given->second.size() + 1 == operands;
  std::vector<double> weights = parameter_list(parameters, "weight", operands - has_base);
  if (parameter(parameters, "normalizeWeights") != 0) {
    const double sum = sum_of_weights(info, weights);
    for (double& weight : weights) weight /= sum;
  }
  return make_linear_combination(info, output_dtype, operands, has_base ? Base::kSubtracted : Base::kNone,
                                 [weights, epsilon = parameter(parameters, "epsilon")](Passes& passes) {
                                   return multislerp(passes, weights, epsilon);
                                 });
}

}  // namespace branchmerge
