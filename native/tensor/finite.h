#pragma once
#include <cstddef>

#include "tensor/dtype.h"

namespace branchmerge {

/// The first of n floating-point elements that is NaN or infinite, or n. No alignment is needed.
size_t find_non_finite(DType dtype, const std::byte* elements, size_t n);

}  // namespace branchmerge
