#pragma once
// What follows from a tensor of a plan.
#include <algorithm>
#include <cstdint>

#include "merge/merge_checkpoints.h"

namespace branchmerge {

/// Of what is merged.
inline uint64_t elements_of(const MergePlan::Tensor& tensor) {
  uint64_t elements = 1;
  for (const uint64_t size : tensor.shape) elements *= size;
  return elements;
}

inline DType stored_dtype(const MergePlan::Tensor& tensor, size_t model) {
  return tensor.stored.empty() ? tensor.dtype : tensor.stored[model];
}

struct StepDtypes {
  DType operands;  // all of a step have one
  DType result;
};

/// Of step `index` of a tensor of floats.
inline StepDtypes step_dtypes(const MergePlan::Tensor& tensor, const std::vector<Step>& program,
                              size_t index) {
  const DType between = tensor.float_intermediates && tensor.dtype != DType::F64 ? DType::F32 : tensor.dtype;
  const std::vector<Operand>& operands = program[index].operands;
  const bool takes_results = std::any_of(operands.begin(), operands.end(),
                                         [](const Operand& o) { return o.kind == Operand::Kind::kStep; });
  return {takes_results ? between : tensor.dtype,
          index + 1 == program.size() ? tensor.output_dtype : between};
}

}  // namespace branchmerge
