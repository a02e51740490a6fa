#pragma once
// How the elements of a tensor are stored. As arithmetic.h, for every instruction set: all is inlined.
#include <cstdint>

#include "fusion/arithmetic.h"

namespace branchmerge::formats {

// Narrow integers are widened to Bits at once: one lane width throughout a loop.
struct BF16 {
  using Stored = uint16_t;
  using Bits = uint32_t;
  static constexpr int kMantissaBits = 7;
  static constexpr Bits kMagnitude = 0x7fff, kInfinity = 0x7f80;
  BRANCHMERGE_INLINE float widen(Bits bits) { return arithmetic::bit_cast<float>(bits << 16); }
};
struct F16 {
  using Stored = uint16_t;
  using Bits = uint32_t;
  static constexpr int kMantissaBits = 10;
  static constexpr Bits kMagnitude = 0x7fff, kInfinity = 0x7c00;
  // Exponent and mantissa moved into place, then the exponent's bias made up for by an exact product; that
  // gives subnormals their value too.
  BRANCHMERGE_INLINE float widen(Bits bits) {
    const float magnitude = arithmetic::bit_cast<float>((bits & 0x7fff) << 13) * 0x1p112f;
    return arithmetic::bit_cast<float>(arithmetic::bit_cast<uint32_t>(magnitude) | (bits & 0x8000) << 16);
  }
};
struct F32 {
  using Stored = uint32_t;
  using Bits = uint32_t;
  static constexpr int kMantissaBits = 23;
  static constexpr Bits kMagnitude = 0x7fffffff, kInfinity = 0x7f800000;
  BRANCHMERGE_INLINE float widen(Bits bits) { return arithmetic::bit_cast<float>(bits); }
};
struct F64 {
  using Stored = uint64_t;
  using Bits = uint64_t;
  static constexpr int kMantissaBits = 52;
  static constexpr Bits kMagnitude = 0x7fffffffffffffff, kInfinity = 0x7ff0000000000000;
  BRANCHMERGE_INLINE double widen(Bits bits) { return arithmetic::bit_cast<double>(bits); }
};

}  // namespace branchmerge::formats
