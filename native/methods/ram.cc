// Changes of one input kept whole, changes of several averaged: docs/methods/ram.md.
#include <cmath>

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
    for (size_t i = 0; i < tile.size; i++) {
      const double base = tile.base[i];
      double sum = 0, last = base;
      size_t changed = 0;
      for (size_t m = 0; m < tiles().inputs(); m++) {
        const double value = tile.inputs[m][i], change = difference(tiles().single(), value, base);
        if (!(std::fabs(change) > epsilon_)) continue;
        sum += change;
        last = value;
        changed++;
      }
      result[i] = changed > 1 ? base + sum / double(changed) : last;
    }
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
