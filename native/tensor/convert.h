#pragma once
#include <cstddef>

#include "tensor/dtype.h"

namespace branchmerge {

/// Converts n elements between floating-point types, rounding to nearest even (overflow gives infinity). No
/// alignment is needed; the ranges must not overlap.
void convert_elements(DType from, const std::byte* in, DType to, std::byte* out, size_t n);

/// Rounds n float64 values once to `to`.
void round_to_dtype(const double* in, DType to, std::byte* out, size_t n);

}  // namespace branchmerge
