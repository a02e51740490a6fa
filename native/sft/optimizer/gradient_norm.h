#pragma once
#include <cstddef>

namespace branchmerge::sft {

/// Sum of squares in float64, in one order on every machine. Not finite if and only if an element is not:
/// the square of a float32 is far from the end of float64.
double sum_of_squares(const float* data, size_t count);

/// What gradients of this norm are multiplied by so that it stays below `limit`: min(1, limit / (norm +
/// 1e-6)).
double clipping_scale(double norm, double limit);

}  // namespace branchmerge::sft
