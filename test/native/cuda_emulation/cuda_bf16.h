#pragma once
// What the kernels use of pairs of BF16, as CUDA documents it.
#include <cmath>
#include <cstdint>
#include <cstring>

// NOLINTBEGIN: CUDA's names and signatures
struct __nv_bfloat162 {
  uint16_t x, y;
};

namespace cuda_emulation {
/// To nearest, ties to even; NaN to the one that CUDA gives.
inline uint16_t bf16_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return 0x7fff;
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float float_of(uint16_t bf16) {
  const uint32_t bits = uint32_t(bf16) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
}  // namespace cuda_emulation

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {cuda_emulation::bf16_of(x), cuda_emulation::bf16_of(y)};
}
inline unsigned __hle2_mask(__nv_bfloat162 a, __nv_bfloat162 b) {
  using cuda_emulation::float_of;
  return (float_of(a.x) <= float_of(b.x) ? 0xffffu : 0) | (float_of(a.y) <= float_of(b.y) ? 0xffff0000u : 0);
}
inline unsigned __hgt2_mask(__nv_bfloat162 a, __nv_bfloat162 b) {
  using cuda_emulation::float_of;
  return (float_of(a.x) > float_of(b.x) ? 0xffffu : 0) | (float_of(a.y) > float_of(b.y) ? 0xffff0000u : 0);
}
// NOLINTEND
