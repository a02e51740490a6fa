#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "tensor/dtype.h"

namespace branchmerge {

/// Converts n elements between floating-point types, rounding to nearest even. No alignment is needed; the
/// ranges must not overlap. Returns the first element that is finite and infinite in `to`, or n: a narrower
/// type does not hold what a wider one does, and infinity is not what a reader of the result expects.
[[nodiscard]] size_t convert_elements(DType from, const std::byte* in, DType to, std::byte* out, size_t n);

/// n elements as float64, which holds all of them.
void widen_elements(DType from, const std::byte* in, double* out, size_t n);

/// Rounds n float64 values once to `to`. Returns as convert_elements does.
[[nodiscard]] size_t round_to_dtype(const double* in, DType to, std::byte* out, size_t n);

/// Whether `to` may be infinite for a finite element of `from`.
bool may_overflow(DType from, DType to);

/// The sentence for a value that is too large for a dtype: which it is, and what to choose instead. `what`:
/// "element 3 is", with the tensor's name before it.
std::string does_not_fit(const std::string& what, double value, DType to);

}  // namespace branchmerge
