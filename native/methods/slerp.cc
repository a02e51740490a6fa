// Interpolation along the arc between two tensors: docs/methods/slerp.md.
#include <cmath>

#include "methods/arc.h"
#include "methods/inner_products.h"
#include "methods/linear_combination.h"
#include "methods/method.h"

namespace branchmerge {
namespace {

/// Beyond this cosine the arc is a straight line.
constexpr double kStraight = 0.9995;

LinearCombination slerp(Passes& passes, double t) {
  const GramMatrix gram = InnerProducts(passes).of_tensor();
  const double cosine = gram.cosine(0, 1);
  const bool straight = std::fabs(cosine) > kStraight || gram.is_zero(0) || gram.is_zero(1);
  const ArcWeights weights = straight ? line_weights(t) : arc_weights(cosine, t);
  return {{weights.first, weights.second}};
}

}  // namespace

std::unique_ptr<TensorOperator> make_slerp(const OperandInfo& info, DType output_dtype, size_t operands,
                                           const MethodParameters& parameters) {
  check_operands("slerp", operands, 2, 2);
  return make_linear_combination(
      info, output_dtype, operands, Base::kNone,
      [t = parameter(parameters, "t")](Passes& passes) { return slerp(passes, t); });
}

}  // namespace branchmerge
