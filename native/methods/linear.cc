// Weighted mean: docs/methods/linear.md.
#include "methods/linear_combination.h"
#include "methods/method.h"
#include "methods/weights.h"

namespace branchmerge {

std::unique_ptr<TensorOperator> make_linear(const OperandInfo& info, DType output_dtype, size_t operands,
                                            const MethodParameters& parameters) {
  check_operands("linear", operands, 1);
  LinearCombination mean{parameter_list(parameters, "weight", operands)};
  if (parameter(parameters, "normalize") != 0) mean.divisor = sum_of_weights(info, mean.weights);
  return make_linear_combination(info, output_dtype, operands, Base::kNone, [mean](Passes&) { return mean; });
}

}  // namespace branchmerge
