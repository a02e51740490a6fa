#include "tensor/dtype.h"

#include <array>
#include <cstddef>

namespace branchmerge {
namespace {

struct DTypeRow {
  std::string_view name;
  unsigned bits;
};

// In the order of the enumeration.
constexpr std::array<DTypeRow, 22> kDTypes{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};
static_assert(kDTypes.size() == static_cast<size_t>(DType::U64) + 1);

}  // namespace

std::string_view dtype_name(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].name; }

unsigned dtype_bits(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].bits; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (size_t row = 0; row < kDTypes.size(); ++row) {
    if (kDTypes[row].name == name) return static_cast<DType>(row);
  }
  return std::nullopt;
}

bool dtype_is_float(DType dtype) {
  return dtype == DType::F16 || dtype == DType::BF16 || dtype == DType::F32 || dtype == DType::F64;
}

bool dtype_is_integer(DType dtype) {
  switch (dtype) {
    case DType::BOOL:
    case DType::U8:
    case DType::I8:
    case DType::I16:
    case DType::U16:
    case DType::I32:
    case DType::U32:
    case DType::I64:
    case DType::U64:
      return true;
    default:
      return false;
  }
}

}  // namespace branchmerge
