// Riemannian mean of the inputs' directions, times their mean norm: docs/methods/karcher.md.
#include <algorithm>
#include <cmath>

#include "methods/inner_products.h"
#include "methods/linear_combination.h"
#include "methods/method.h"
#include "methods/trigonometry.h"

namespace branchmerge {
namespace {

/// A sum of unit vectors shorter than this cannot be told from 0 by inner products, whose rounding errors are
/// as the square of it.
constexpr double kShortestSum = 1e-7;

constexpr double kPi = 0x1.921fb54442d18p+1;

/// Vectors in the span of unit vectors: one coefficient for each of them.
using Span = std::vector<double>;

/// The mean on the sphere, found in the span of the inputs.
class SphereMean {
 public:
  /// cosines: of all pairs of unit vectors.
  SphereMean(std::vector<Span> cosines, double tolerance)
      : cosines_(std::move(cosines)), tolerance_(tolerance), share_(1 / double(cosines_.size())) {
    mean_.assign(cosines_.size(), share_);
    const double length = length_of(mean_);
    if (length > std::max(tolerance, kShortestSum)) {
      multiply(mean_, 1 / length);
    } else {
      std::fill(mean_.begin(), mean_.end(), 0.0);
      mean_[0] = 1;
    }
  }

  /// False when the mean does not move any more.
  bool step() {
    const Span tangent = mean_tangent();
    const double length = length_of(tangent);
    if (length <= tolerance_) return false;
    const double along = cosine(length), across = sine(length) / length;
    for (size_t i = 0; i < mean_.size(); i++) mean_[i] = along * mean_[i] + across * tangent[i];
    multiply(mean_, 1 / length_of(mean_));
    return true;
  }

  const Span& mean() const { return mean_; }

 private:
  /// Σ α·θ_m/sin θ_m·(u_m − c_m·μ).
  Span mean_tangent() const {
    Span tangent(mean_.size());
    double along_mean = 0;
    for (size_t m = 0; m < mean_.size(); m++) {
      const double c = std::clamp(inner_product(mean_, cosines_[m]), -1.0, 1.0), angle = arc_cosine(c);
      if (!(angle > tolerance_ && angle < kPi - tolerance_)) continue;
      tangent[m] = share_ * angle / sine(angle);
      along_mean += tangent[m] * c;
    }
    for (size_t m = 0; m < mean_.size(); m++) tangent[m] -= along_mean * mean_[m];
    return tangent;
  }

  double length_of(const Span& x) const {
    double square = 0;
    for (size_t i = 0; i < x.size(); i++) square += x[i] * inner_product(x, cosines_[i]);
    return std::sqrt(std::max(square, 0.0));
  }

  static double inner_product(const Span& x, const Span& y) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); i++) sum += x[i] * y[i];
    return sum;
  }

  static void multiply(Span& x, double factor) {
    for (double& each : x) each *= factor;
  }

  const std::vector<Span> cosines_;
  const double tolerance_, share_;
  Span mean_;
};

LinearCombination karcher(Passes& passes, uint64_t iterations, double tolerance) {
  const GramMatrix gram = InnerProducts(passes).of_tensor();
  double norms = 0;
  std::vector<size_t> left;
  for (size_t m = 0; m < passes.inputs(); m++) {
    norms += gram.norm(m);
    if (!gram.is_zero(m)) left.push_back(m);
  }
  LinearCombination result{std::vector<double>(passes.inputs())};
  if (left.empty()) return result;

  std::vector<Span> cosines;
  for (const size_t i : left) {
    cosines.emplace_back();
    for (const size_t j : left) cosines.back().push_back(gram.cosine(i, j));
  }
  SphereMean mean(std::move(cosines), tolerance);
  for (uint64_t i = 0; i < iterations; i++)
    if (!mean.step()) break;
  for (size_t i = 0; i < left.size(); i++) result.weights[left[i]] = mean.mean()[i] / gram.norm(left[i]);
  result.factor = norms / double(passes.inputs());
  return result;
}

}  // namespace

std::unique_ptr<TensorOperator> make_karcher(const OperandInfo& info, DType output_dtype, size_t operands,
                                             const MethodParameters& parameters) {
  check_operands("karcher", operands, 1);
  return make_linear_combination(info, output_dtype, operands, Base::kNone,
                                 [iterations = uint64_t(parameter(parameters, "maxIterations")),
                                  tolerance = parameter(parameters, "tolerance")](Passes& passes) {
                                   return karcher(passes, iterations, tolerance);
                                 });
}

}  // namespace branchmerge
