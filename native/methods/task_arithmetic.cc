// Base plus the weighted sum of differences: docs/methods/task_arithmetic.md.
#include "methods/linear_combination.h"
#include "methods/method.h"
#include "methods/weights.h"

namespace branchmerge {

std::unique_ptr<TensorOperator> make_task_arithmetic(const OperandInfo& info, DType output_dtype,
                                                     size_t operands, const MethodParameters& parameters) {
  check_operands("task_arithmetic", operands, 2);
  LinearCombination sum{parameter_list(parameters, "weight", operands - 1)};
  if (parameter(parameters, "normalize") != 0) sum.divisor = sum_of_weights(info, sum.weights);
  sum.factor = parameter(parameters, "lambda");
  return make_linear_combination(info, output_dtype, operands, Base::kSubtracted,
                                 [sum](Passes&) { return sum; });
}

}  // namespace branchmerge
