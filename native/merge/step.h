#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fusion/cpu/kernels.h"
#include "fusion/fuse_operator.h"
#include "fusion/options.h"
#include "methods/method.h"

namespace branchmerge {

/// An operand of a step: a model's tensor, or the result of an earlier step.
struct Operand {
  enum class Kind : uint8_t { kModel, kStep } kind;
  size_t index;
};

/// One merge. The last step of a program gives the result.
struct Step {
  std::string method;  // "fuse", or a name that find_method knows
  std::vector<Operand> operands;
  FusionOptions fusion;         // of "fuse"
  MethodParameters parameters;  // of the others
};

/// The operator of a step for one tensor of `operands` models. scratch: one for each step of a program.
std::unique_ptr<TensorOperator> make_step_operator(const Step& step, size_t operands, const OperandInfo& info,
                                                   DType output_dtype,
                                                   const cpu::InstructionSet& instruction_set,
                                                   FusionScratch& scratch);

}  // namespace branchmerge
