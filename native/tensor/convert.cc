#include "tensor/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "tensor/finite.h"
#include "tensor/rounding.h"

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

/// A NaN becomes quiet on its way through float64; but a compiler may leave that way out where nothing is
/// rounded.
void quieten(std::byte* element) {
  const uint32_t bits = load<uint32_t>(element), magnitude = bits & 0x7fffffff;
  const uint32_t quiet = magnitude > 0x7f800000 ? bits | 0x400000 : bits;
  std::memcpy(element, &quiet, sizeof quiet);
}

/// Types in the order of their largest values.
constexpr int range_of(DType dtype) {
  return dtype == DType::F64 ? 3 : dtype == DType::F32 ? 2 : dtype == DType::BF16 ? 1 : 0;
}

/// What is converted stays in the nearest cache until it was looked at.
constexpr size_t kStretch = 4096;

/// One loop for each pair of types, so that each can be vectorised.
template <DType kFrom, DType kTo>
void convert_stretch(const std::byte* in, std::byte* out, size_t n) {
  for (size_t i = 0; i < n; i++) {
    store<kTo>(widen<kFrom>(in + i * kElementBytes<kFrom>), out + i * kElementBytes<kTo>);
    if (kTo == DType::F32 && kElementBytes<kFrom> == 2) quieten(out + i * kElementBytes<kTo>);
  }
}

/// The first element that is finite before and not after.
template <DType kFrom>
size_t find_overflow(const std::byte* in, DType to, const std::byte* out, size_t n) {
  const size_t size = dtype_bits(to) / 8;
  for (size_t i = find_non_finite(to, out, n); i < n; i++)
    if (find_non_finite(to, out + i * size, 1) == 0 &&
        std::isfinite(widen<kFrom>(in + i * kElementBytes<kFrom>)))
      return i;
  return n;
}

template <DType kFrom, DType kTo>
size_t convert_all(const std::byte* in, std::byte* out, size_t n) {
  if constexpr (range_of(kFrom) <= range_of(kTo)) {
    convert_stretch<kFrom, kTo>(in, out, n);
    return n;
  }
  size_t first = n;
  for (size_t begin = 0; begin < n; begin += kStretch) {
    const size_t count = std::min(kStretch, n - begin);
    const std::byte* const from = in + begin * kElementBytes<kFrom>;
    std::byte* const to = out + begin * kElementBytes<kTo>;
    convert_stretch<kFrom, kTo>(from, to, count);
    if (first < n) continue;
    const size_t found = find_overflow<kFrom>(from, kTo, to, count);
    if (found < count) first = begin + found;
  }
  return first;
}

}  // namespace

size_t convert_elements(DType from, const std::byte* in, DType to, std::byte* out, size_t n) {
  if (from == to) {
    std::memcpy(out, in, n * (dtype_bits(from) / 8));  // NaN keeps its payload
    return n;
  }
  size_t first = n;
  with_dtype(from, [&]<DType kFrom>() {
    with_dtype(to, [&]<DType kTo>() { first = convert_all<kFrom, kTo>(in, out, n); });
  });
  return first;
}

void widen_elements(DType from, const std::byte* in, double* out, size_t n) {
  with_dtype(from, [&]<DType kFrom>() {
    convert_stretch<kFrom, DType::F64>(in, reinterpret_cast<std::byte*>(out), n);
  });
}

size_t round_to_dtype(const double* in, DType to, std::byte* out, size_t n) {
  size_t first = n;
  with_dtype(to, [&]<DType kTo>() {
    first = convert_all<DType::F64, kTo>(reinterpret_cast<const std::byte*>(in), out, n);
  });
  return first;
}

bool may_overflow(DType from, DType to) { return range_of(from) > range_of(to); }

std::string does_not_fit(const std::string& what, double value, DType to) {
  constexpr const char* kWider[] = {"BF16 or F32", "F32", "F64"};
  constexpr const char* kLargest[] = {"65504", "3.39e38", "3.4e38", "1.8e308"};
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  const std::string shown = std::isfinite(value) ? text : "beyond float64";
  const int range = range_of(to);
  return what + " " + shown + ", which does not fit " + std::string(dtype_name(to)) + " (at most " +
         kLargest[range] + "). " +
         (range < 3 ? std::string("Choose dtype ") + kWider[range] + " instead." : "No dtype is wider.");
}

}  // namespace branchmerge
