#include "methods/linear_combination.h"

#include <utility>

#include "methods/method_operator.h"

namespace branchmerge {
namespace {

class CombinationOperator final : public MethodOperator {
 public:
  CombinationOperator(const OperandInfo& info, DType output_dtype, size_t operands, Base base,
                      FindCombination find)
      : MethodOperator(info, output_dtype, operands, base), find_(std::move(find)) {}

 private:
  void analyse(Passes& passes) override { combination_ = find_(passes); }

  void combine(size_t, const Tile& tile, double* result) override {
    const auto& [weights, divisor, factor] = combination_;
    for (size_t i = 0; i < tile.size; i++) result[i] = weights[0] * tile.inputs[0][i];
    for (size_t m = 1; m < weights.size(); m++) {
      const double weight = weights[m];
      const double* input = tile.inputs[m];
      for (size_t i = 0; i < tile.size; i++) result[i] += weight * input[i];
    }
    if (divisor != 1)
      for (size_t i = 0; i < tile.size; i++) result[i] /= divisor;
    if (tile.base != nullptr)
      for (size_t i = 0; i < tile.size; i++) result[i] = tile.base[i] + factor * result[i];
    else if (factor != 1)
      for (size_t i = 0; i < tile.size; i++) result[i] *= factor;
  }

  const FindCombination find_;
  LinearCombination combination_;
};

}  // namespace

std::unique_ptr<TensorOperator> make_linear_combination(const OperandInfo& info, DType output_dtype,
                                                        size_t operands, Base base, FindCombination find) {
  return std::make_unique<CombinationOperator>(info, output_dtype, operands, base, std::move(find));
}

}  // namespace branchmerge
