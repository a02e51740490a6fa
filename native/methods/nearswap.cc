// The second input where it is near the first: docs/methods/nearswap.md.
#include <cmath>

#include "methods/method.h"
#include "methods/method_operator.h"

namespace branchmerge {
namespace {

class Nearswap final : public MethodOperator {
 public:
  Nearswap(const OperandInfo& info, DType output_dtype, double near)
      : MethodOperator(info, output_dtype, 2, Base::kNone), near_(near) {}

 private:
  void combine(size_t, const Tile& tile, double* result) override {
    const double *first = tile.inputs[0], *second = tile.inputs[1];
    for (size_t i = 0; i < tile.size; i++) {
      const double difference = second[i] - first[i];
      const double moved = first[i] + std::copysign(near_, difference);
      result[i] = std::fabs(difference) <= near_ ? second[i] : moved;
    }
  }

  const double near_;
};

}  // namespace

std::unique_ptr<TensorOperator> make_nearswap(const OperandInfo& info, DType output_dtype, size_t operands,
                                              const MethodParameters& parameters) {
  check_operands("nearswap", operands, 2, 2);
  return std::make_unique<Nearswap>(info, output_dtype, parameter(parameters, "t"));
}

}  // namespace branchmerge
