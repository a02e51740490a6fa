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
  widen_elements(from, reinterpret_cast<const std::byte*>(&bits), &value, 1);
  return value;
}

uint16_t rounded(double value, DType to) {
  uint16_t bits;
  (void)round_to_dtype(&value, to, reinterpret_cast<std::byte*>(&bits), 1);
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

/// Values in a dtype that is wide enough for them.
std::vector<std::byte> stored(const std::vector<double>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * dtype_bits(dtype) / 8);
  REQUIRE(round_to_dtype(values.data(), dtype, bytes.data(), values.size()) == values.size());
  return bytes;
}

TEST_CASE(
    "the first finite value that is infinite in the narrower type is told, and what was infinite is not") {
  struct Case {
    DType from, to;
    double fits, too_large;
  };
  const Case cases[] = {
      {DType::F64, DType::F32, 0x1.fffffefp127, 0x1.ffffffp127},
      {DType::F64, DType::BF16, 0x1.fep127, 0x1.ffp127},
      {DType::F64, DType::F16, 65519, 65520},
      {DType::F32, DType::BF16, 0x1.fep127, 0x1.ffp127},
      {DType::F32, DType::F16, 65519, 65520},
      {DType::BF16, DType::F16, 0x1.fep15, 0x1p16},
  };
  for (const Case& c : cases) {
    CHECK(may_overflow(c.from, c.to));
    CHECK(!may_overflow(c.to, c.from));
    for (const size_t n : {1, 255, 4096, 10'000})
      for (const size_t at : {size_t(0), n / 2, n - 1}) {
        std::vector<double> values(n, -c.fits);
        std::vector<std::byte> out(n * dtype_bits(c.to) / 8);
        const auto found = [&] {
          return convert_elements(c.from, stored(values, c.from).data(), c.to, out.data(), n);
        };
        CHECK(found() == n);
        values[at] = INFINITY;
        CHECK(found() == n);
        values[at] = NAN;
        CHECK(found() == n);
        values.assign(n, NAN);
        values[at] = -c.too_large;
        CHECK(found() == at);
        if (c.from == DType::F64) CHECK(round_to_dtype(values.data(), c.to, out.data(), n) == at);
      }
  }
}

TEST_CASE("the message for what does not fit tells value, limit and cure") {
  CHECK(does_not_fit("Tensor 'w': element 3 is", -70000, DType::F16) ==
        "Tensor 'w': element 3 is -70000, which does not fit F16 (at most 65504). Choose dtype BF16 or F32 "
        "instead.");
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
