#include "tensor/convert.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace branchmerge {
namespace {

double widened(DType from, uint16_t bits) {
  double value;
  convert_elements(from, reinterpret_cast<const std::byte*>(&bits), DType::F64,
                   reinterpret_cast<std::byte*>(&value), 1);
  return value;
}

uint16_t rounded(double value, DType to) {
  uint16_t bits;
  round_to_dtype(&value, to, reinterpret_cast<std::byte*>(&bits), 1);
  return bits;
}

TEST_CASE("every 16-bit value survives the way to float64 and back") {
  for (const DType dtype : {DType::BF16, DType::F16}) {
    for (uint32_t bits = 0; bits < 65536; bits++) {
      const double value = widened(dtype, uint16_t(bits));
      if (std::isnan(value))
        CHECK(std::isnan(widened(dtype, rounded(value, dtype))));
      else
        CHECK(rounded(value, dtype) == bits);
    }
  }
}

// Halves between neighbours go to the even one, and anything off the half to the nearer: checked at every
// finite value.
TEST_CASE("rounding to 16 bits is to nearest, ties to even") {
  for (const DType dtype : {DType::BF16, DType::F16}) {
    const uint32_t infinity = dtype == DType::BF16 ? 0x7f80 : 0x7c00;
    for (uint32_t bits = 0; bits + 1 < infinity; bits++) {
      const double low = widened(dtype, uint16_t(bits)), high = widened(dtype, uint16_t(bits + 1));
      const double half = (low + high) / 2;
      CHECK(rounded(half, dtype) == bits + (bits & 1));
      CHECK(rounded(std::nextafter(half, 0), dtype) == bits);
      CHECK(rounded(std::nextafter(half, high), dtype) == bits + 1);
      CHECK(rounded(-half, dtype) == (0x8000 | (bits + (bits & 1))));
    }
  }
}

TEST_CASE("what is too large becomes infinity") {
  CHECK(rounded(65519.99, DType::F16) == 0x7bff);
  CHECK(rounded(65520, DType::F16) == 0x7c00);
  CHECK(rounded(-1e300, DType::BF16) == 0xff80);
  CHECK(rounded(INFINITY, DType::BF16) == 0x7f80);
}

TEST_CASE("known values") {
  CHECK(rounded(1.0, DType::BF16) == 0x3f80);
  CHECK(rounded(1.0, DType::F16) == 0x3c00);
  CHECK(rounded(0x1p-24, DType::F16) == 1);
  CHECK(rounded(0x1p-26, DType::F16) == 0);
  CHECK(rounded(-0.0, DType::F16) == 0x8000);
}

}  // namespace
}  // namespace branchmerge
