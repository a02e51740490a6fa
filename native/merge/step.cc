#include "merge/step.h"

#include "base/error.h"

namespace branchmerge {

std::unique_ptr<TensorOperator> make_step_operator(const Step& step, size_t operands, const OperandInfo& info,
                                                   DType output_dtype,
                                                   const cpu::InstructionSet& instruction_set,
                                                   FusionScratch& scratch) {
  if (step.method == "fuse") {
    check_operands("fuse", operands, 2, 2);
    return std::make_unique<FuseOperator>(info, output_dtype, step.fusion, instruction_set, scratch);
  }
  MakeMethod* make = find_method(step.method);
  if (make == nullptr) throw Error("ERR_INVALID_ARGUMENT", "There is no method '" + step.method + "'");
  return make(info, output_dtype, operands, step.parameters);
}

}  // namespace branchmerge
