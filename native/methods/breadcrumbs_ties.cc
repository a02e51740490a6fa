// Differences without their largest and smallest elements, sign election: docs/methods/breadcrumbs_ties.md.
#include <utility>

#include "methods/method.h"
#include "methods/task_vectors.h"
#include "methods/trimming.h"

namespace branchmerge {

std::unique_ptr<TensorOperator> make_breadcrumbs_ties(const OperandInfo& info, DType output_dtype,
                                                      size_t operands, const MethodParameters& parameters) {
  check_operands("breadcrumbs_ties", operands, 2);
  auto thinning = std::make_unique<Trimming>(parameter_list(parameters, "density", operands - 1),
                                             parameter_list(parameters, "gamma", operands - 1));
  return make_task_vectors(info, output_dtype, operands, parameters, std::move(thinning), Combine::kElection);
}

}  // namespace branchmerge
