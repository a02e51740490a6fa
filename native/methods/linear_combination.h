#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "methods/passes.h"

namespace branchmerge {

/// result = base + factor·(Σ weights[m]·v_m)/divisor, without a base where the method has none.
struct LinearCombination {
  std::vector<double> weights;
  double divisor = 1;
  double factor = 1;
};

/// Finds the numbers of a whole tensor.
using FindCombination = std::function<LinearCombination(Passes&)>;

/// The operator of a method that is one linear combination of a whole tensor.
std::unique_ptr<TensorOperator> make_linear_combination(const OperandInfo& info, DType output_dtype,
                                                        size_t operands, Base base, FindCombination find);

}  // namespace branchmerge
