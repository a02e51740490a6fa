#pragma once
#include <string>
#include <vector>

#include "tensor/tensor_operator.h"

namespace branchmerge {

/// Weights whose sum is within this factor of the sum of their magnitudes cancel: nothing can be divided by
/// their sum.
inline constexpr double kCancellingWeights = 1e-8;

/// The sum of the weights; refuses weights that cancel, or are all 0 (ERR_INVALID_ARGUMENT).
double sum_of_weights(const OperandInfo& info, const std::vector<double>& weights);

}  // namespace branchmerge
