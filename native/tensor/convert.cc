#include "tensor/convert.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace branchmerge {
namespace {

template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// Rounds a float64 to a format of 16 bits with `kMantissa` explicit mantissa bits, subnormals included.
template <int kExponentBits, int kMantissa>
uint16_t round_to_16_bits(double value) {
  constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  constexpr uint16_t kInfinity = ((1 << kExponentBits) - 1) << kMantissa;
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const uint16_t sign = uint16_t(bits >> 48) & 0x8000;
  const int exponent = int(bits >> 52 & 0x7ff) - 1023;
  const uint64_t fraction = bits & 0xfffffffffffff;
  if (exponent == 1024) return fraction ? sign | kInfinity | 1 << (kMantissa - 1) : sign | kInfinity;
  if (exponent > kBias) return sign | kInfinity;
  // A subnormal's mantissa is shifted further; below half of the smallest one everything is zero.
  const int extra = exponent < 1 - kBias ? 1 - kBias - exponent : 0;
  const int shift = 52 - kMantissa + extra;
  if (shift > 53) return sign;
  const uint64_t mantissa = (uint64_t(1) << 52 | fraction);
  const uint64_t kept = mantissa >> shift;
  const uint64_t rest = mantissa & ((uint64_t(1) << shift) - 1), half = uint64_t(1) << (shift - 1);
  const uint64_t rounded = kept + (rest > half || (rest == half && (kept & 1)));
  // Adding (not or-ing) lets a carry go up into the exponent, as far as infinity.
  const uint64_t biased = extra ? 0 : uint64_t(exponent + kBias - 1) << kMantissa;
  return uint16_t(sign | (biased + rounded));
}

double widen(DType dtype, const std::byte* element) {
  switch (dtype) {
    case DType::F64:
      return load<double>(element);
    case DType::F32:
      return load<float>(element);
    case DType::BF16:
      return std::bit_cast<float>(uint32_t(load<uint16_t>(element)) << 16);
    default: {
      const uint16_t bits = load<uint16_t>(element);
      const uint32_t magnitude = bits & 0x7fff, sign = uint32_t(bits & 0x8000) << 16;
      if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
      const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
      return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
    }
  }
}

void store(double value, DType to, std::byte* element) {
  switch (to) {
    case DType::F64:
      std::memcpy(element, &value, 8);
      return;
    case DType::F32: {
      const float rounded = float(value);
      std::memcpy(element, &rounded, 4);
      return;
    }
    default: {
      const uint16_t bits =
          to == DType::BF16 ? round_to_16_bits<8, 7>(value) : round_to_16_bits<5, 10>(value);
      std::memcpy(element, &bits, 2);
    }
  }
}

}  // namespace

void convert_elements(DType from, const std::byte* in, DType to, std::byte* out, size_t n) {
  const size_t from_size = dtype_bits(from) / 8, to_size = dtype_bits(to) / 8;
  if (from == to) {
    std::memcpy(out, in, n * from_size);  // NaN keeps its payload
    return;
  }
  for (size_t i = 0; i < n; i++) store(widen(from, in + i * from_size), to, out + i * to_size);
}

void round_to_dtype(const double* in, DType to, std::byte* out, size_t n) {
  const size_t size = dtype_bits(to) / 8;
  for (size_t i = 0; i < n; i++) store(in[i], to, out + i * size);
}

}  // namespace branchmerge
