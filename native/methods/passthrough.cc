// One input, as it is or scaled: docs/methods/passthrough.md.
#include "methods/linear_combination.h"
#include "methods/method.h"

namespace branchmerge {

std::unique_ptr<TensorOperator> make_passthrough(const OperandInfo& info, DType output_dtype, size_t operands,
                                                 const MethodParameters& parameters) {
  check_operands("passthrough", operands, 1, 1);
  const LinearCombination scaled{parameter_list(parameters, "scale", 1)};
  return make_linear_combination(info, output_dtype, operands, Base::kNone,
                                 [scaled](Passes&) { return LinearCombination(scaled); });
}

}  // namespace branchmerge
