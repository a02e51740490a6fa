// Drop at random by rank, sign election: docs/methods/della.md.
#include <utility>

#include "methods/method.h"
#include "methods/ranked_drop.h"
#include "methods/task_vectors.h"

namespace branchmerge {

std::unique_ptr<TensorOperator> make_della(const OperandInfo& info, DType output_dtype, size_t operands,
                                           const MethodParameters& parameters) {
  check_operands("della", operands, 2);
  auto thinning = std::make_unique<RankedDrop>(info, parameter_list(parameters, "density", operands - 1),
                                               parameter_list(parameters, "epsilon", operands - 1),
                                               uint64_t(parameter(parameters, "seed")));
  return make_task_vectors(info, output_dtype, operands, parameters, std::move(thinning), Combine::kElection);
}

}  // namespace branchmerge
