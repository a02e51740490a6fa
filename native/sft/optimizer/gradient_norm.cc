#include "sft/optimizer/gradient_norm.h"

#include <algorithm>

#include "base/lane_sums.h"

namespace branchmerge::sft {

double sum_of_squares(const float* data, size_t count) {
  return sum_in_lanes(count, [data](size_t i) {
    const double x = data[i];
    return x * x;
  });
}

double clipping_scale(double norm, double limit) { return std::min(1.0, limit / (norm + 1e-6)); }

}  // namespace branchmerge::sft
