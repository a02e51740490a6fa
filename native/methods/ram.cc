// Changes of one input kept whole, changes of several averaged: docs/methods/ram.md.
#include <cmath>

#include "methods/keep_if.h"
#include "methods/method.h"
#include "methods/method_operator.h"

namespace branchmerge {
namespace {

class Ram final : public MethodOperator {
 public:
  Ram(const OperandInfo& info, DType output_dtype, size_t operands, double epsilon)
      : MethodOperator(info, output_dtype, operands, Base::kKept), epsilon_(epsilon) {}

 private:
  void combine(size_t, const Tile& tile, double* result) override {
    double sum[kTile], count[kTile];
    for (size_t i = 0; i < tile.size; i++) {
      sum[i] = count[i] = 0;
      result[i] = tile.base[i];
    }
    for (size_t m = 0; m < tiles().inputs(); m++)
      for (size_t i = 0; i < tile.size; i++) {
        const double value = tile.inputs[m][i], change = difference(tiles().single(), value, tile.base[i]);
        const bool changed = std::fabs(change) > epsilon_;
        sum[i] += keep_if(changed, change);
        count[i] += keep_if(changed, 1);
        result[i] = changed ? value : result[i];
      }
    // So far the value of the last input that changed the element.
    for (size_t i = 0; i < tile.size; i++)
      result[i] = count[i] > 1 ? tile.base[i] + sum[i] / count[i] : result[i];
  }

  const double epsilon_;
};

}  // namespace

std::unique_ptr<TensorOperator> make_ram(const OperandInfo& info, DType output_dtype, size_t operands,
                                         const MethodParameters& parameters) {
  check_operands("ram", operands, 2);
  return std::make_unique<Ram>(info, output_dtype, operands, parameter(parameters, "epsilon"));
}

}  // namespace branchmerge
