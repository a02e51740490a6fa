#include "tensor/convert.h"

#include <bit>
#include <cstdint>
#include <cstring>

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

/// One loop for each pair of types, so that each can be vectorised.
template <DType kFrom, DType kTo>
void convert_all(const std::byte* in, std::byte* out, size_t n) {
  for (size_t i = 0; i < n; i++) {
    store<kTo>(widen<kFrom>(in + i * kElementBytes<kFrom>), out + i * kElementBytes<kTo>);
    if (kTo == DType::F32 && kElementBytes<kFrom> == 2) quieten(out + i * kElementBytes<kTo>);
  }
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
