#include "tensor/finite.h"

#include <cstdint>
#include <cstring>

namespace branchmerge {
namespace {

/// NaN and infinity are what has all exponent bits set.
template <class Bits>
bool is_non_finite(const std::byte* element, Bits exponent) {
  Bits bits;
  std::memcpy(&bits, element, sizeof bits);
  return (bits & exponent) == exponent;
}

template <class Bits>
size_t find(const std::byte* elements, size_t n, Bits exponent) {
  // Whole groups first, without a branch for each element.
  constexpr size_t kGroup = 256;
  for (size_t begin = 0; begin < n; begin += kGroup) {
    const size_t end = n - begin < kGroup ? n : begin + kGroup;
    Bits found = 0;
    for (size_t i = begin; i < end; i++) found |= is_non_finite(elements + i * sizeof(Bits), exponent);
    for (size_t i = begin; found && i < end; i++)
      if (is_non_finite(elements + i * sizeof(Bits), exponent)) return i;
  }
  return n;
}

}  // namespace

size_t find_non_finite(DType dtype, const std::byte* elements, size_t n) {
  switch (dtype) {
    case DType::BF16:
      return find<uint16_t>(elements, n, 0x7f80);
    case DType::F16:
      return find<uint16_t>(elements, n, 0x7c00);
    case DType::F32:
      return find<uint32_t>(elements, n, 0x7f800000);
    default:
      return find<uint64_t>(elements, n, 0x7ff0000000000000);
  }
}

}  // namespace branchmerge
