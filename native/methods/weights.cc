#include "methods/weights.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace branchmerge {

double sum_of_weights(const OperandInfo& info, const std::vector<double>& weights) {
  double sum = 0, magnitudes = 0;
  std::string list;
  for (const double weight : weights) {
    sum += weight;
    magnitudes += std::fabs(weight);
    list += (list.empty() ? "" : ", ") + std::to_string(weight);
  }
  if (std::fabs(sum) > kCancellingWeights * magnitudes) return sum;
  throw Error("ERR_INVALID_ARGUMENT", "Expected weights that do not cancel for tensor '" + info.name +
                                          "' but received " + list + ": the result is divided by their sum");
}

}  // namespace branchmerge
