#include "tensor/convert.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace branchmerge {
namespace {

template <DType kDType>
constexpr size_t kElementBytes = kDType == DType::F64   ? 8
                                 : kDType == DType::F32 ? 4
                                                        : 2;

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

/// The same for BF16, without a branch: rounded to odd to float32 first, which keeps what the second rounding
/// has to know (float32 has more than two bits more), then to nearest even.
uint16_t round_to_bf16(double value) {
  const float nearest = float(value);
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const double magnitude = std::fabs(double(nearest)), exact = std::fabs(value);
  const uint32_t even = ~bits & 1;
  bits = magnitude < exact ? bits + even : magnitude > exact ? bits - even : bits;
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return uint16_t(value == value ? rounded : (bits >> 16 & 0x8000) | 0x7fc0);
}

template <DType kDType>
double widen(const std::byte* element) {
  if constexpr (kDType == DType::F64) {
    return load<double>(element);
  } else if constexpr (kDType == DType::F32) {
    return load<float>(element);
  } else if constexpr (kDType == DType::BF16) {
    return std::bit_cast<float>(uint32_t(load<uint16_t>(element)) << 16);
  } else {
    const uint16_t bits = load<uint16_t>(element);
    const uint32_t magnitude = bits & 0x7fff, sign = uint32_t(bits & 0x8000) << 16;
    const uint32_t special = 0x7f800000 | (magnitude & 0x3ff) << 13;
    const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f);
    return std::bit_cast<float>((magnitude >= 0x7c00 ? special : finite) | sign);
  }
}

template <DType kDType>
void store(double value, std::byte* element) {
  if constexpr (kDType == DType::F64) {
    std::memcpy(element, &value, 8);
  } else if constexpr (kDType == DType::F32) {
    const float rounded = float(value);
    std::memcpy(element, &rounded, 4);
  } else {
    const uint16_t bits = kDType == DType::BF16 ? round_to_bf16(value) : round_to_16_bits<5, 10>(value);
    std::memcpy(element, &bits, 2);
  }
}

/// body.operator()<dtype>() for a floating-point dtype.
template <class Body>
void with_dtype(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::F64:
      return body.template operator()<DType::F64>();
    case DType::F32:
      return body.template operator()<DType::F32>();
    case DType::BF16:
      return body.template operator()<DType::BF16>();
    default:
      return body.template operator()<DType::F16>();
  }
}

/// One loop for each pair of types, so that each can be vectorised.
template <DType kFrom, DType kTo>
void convert_all(const std::byte* in, std::byte* out, size_t n) {
  for (size_t i = 0; i < n; i++)
    store<kTo>(widen<kFrom>(in + i * kElementBytes<kFrom>), out + i * kElementBytes<kTo>);
}

}  // namespace

void convert_elements(DType from, const std::byte* in, DType to, std::byte* out, size_t n) {
  if (from == to) {
    std::memcpy(out, in, n * (dtype_bits(from) / 8));  // NaN keeps its payload
    return;
  }
  with_dtype(from, [&]<DType kFrom>() {
    with_dtype(to, [&]<DType kTo>() { convert_all<kFrom, kTo>(in, out, n); });
  });
}

void round_to_dtype(const double* in, DType to, std::byte* out, size_t n) {
  with_dtype(
      to, [&]<DType kTo>() { convert_all<DType::F64, kTo>(reinterpret_cast<const std::byte*>(in), out, n); });
}

}  // namespace branchmerge
