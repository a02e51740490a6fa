#pragma once
#include <memory>

#include "methods/method.h"
#include "methods/thinning.h"

namespace branchmerge {

enum class Combine : uint8_t { kSum, kElection };

/// The operator of a method that thins out the differences from the base and then sums them, or those that
/// agree with the elected sign (docs/methods/README.md, Task vectors). Takes the parameters weight,
/// normalize, rescale and lambda.
std::unique_ptr<TensorOperator> make_task_vectors(const OperandInfo& info, DType output_dtype,
                                                  size_t operands, const MethodParameters& parameters,
                                                  std::unique_ptr<Thinning> thinning, Combine combine);

}  // namespace branchmerge
