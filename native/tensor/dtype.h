#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace branchmerge {

/// Element types of the safetensors format, in its own order (ascending alignment).
enum class DType : uint8_t {
  BOOL,
  F4,
  F6_E2M3,
  F6_E3M2,
  U8,
  I8,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  C64,
  F64,
  I64,
  U64,
};

std::string_view dtype_name(DType dtype);                     // "BF16"
std::optional<DType> dtype_from_name(std::string_view name);  // exact, upper case
unsigned dtype_bits(DType dtype);                             // 4 for F4, 16 for BF16
/// F16, BF16, F32, F64: what fusion computes with.
bool dtype_is_float(DType dtype);
/// BOOL and the integers: copied when both sides are equal.
bool dtype_is_integer(DType dtype);

}  // namespace branchmerge
