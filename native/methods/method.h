#pragma once
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor_operator.h"

namespace branchmerge {

/// Parameters of a method by name, as docs/methods has them: one number, or one for each operand but the
/// base. Booleans are 0 and 1.
using MethodParameters = std::map<std::string, std::vector<double>, std::less<>>;

/// Makes a method's operator for one tensor. Where a method has a base model, the base is operand 0.
using MakeMethod = std::unique_ptr<TensorOperator>(const OperandInfo& info, DType output_dtype,
                                                   size_t operands, const MethodParameters& parameters);

/// nullptr when there is no such method. Fusion is not among them: it takes FusionOptions
/// (fusion/fuse_operator.h).
MakeMethod* find_method(std::string_view name);

/// Refuses a number of operands, the base among them, that the method does not take.
void check_operands(std::string_view method, size_t operands, size_t least,
                    size_t most = std::numeric_limits<size_t>::max());

/// The parameter, or an Error: lib/recipe resolves every parameter before it comes here.
double parameter(const MethodParameters& parameters, std::string_view name);
/// One for each operand but the base.
const std::vector<double>& parameter_list(const MethodParameters& parameters, std::string_view name,
                                          size_t count);

}  // namespace branchmerge
