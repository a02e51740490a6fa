#pragma once
// Rounding of float64 to the narrower formats, to nearest, ties to even. Host and device: only what IEEE 754
// defines to the bit.
#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace branchmerge {

/// To a format of 16 bits with `kMantissa` explicit mantissa bits, subnormals included.
template <int kExponentBits, int kMantissa>
BRANCHMERGE_HOST_DEVICE inline uint16_t round_to_16_bits(double value) {
  constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  constexpr uint16_t kInfinity = ((1 << kExponentBits) - 1) << kMantissa;
  const uint64_t bits = __builtin_bit_cast(uint64_t, value);
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
BRANCHMERGE_HOST_DEVICE inline uint16_t round_to_bf16(double value) {
  const float nearest = float(value);
  uint32_t bits = __builtin_bit_cast(uint32_t, nearest);
  const double magnitude = fabs(double(nearest)), exact = fabs(value);
  const uint32_t even = ~bits & 1;
  bits = magnitude < exact ? bits + even : magnitude > exact ? bits - even : bits;
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return uint16_t(value == value ? rounded : (bits >> 16 & 0x8000) | 0x7fc0);
}

}  // namespace branchmerge
