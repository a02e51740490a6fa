#include "fusion/threshold.h"

#include <string>

#include "base/error.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

std::string value_text(DType dtype, const std::byte* element) {
  double value;
  widen_elements(dtype, element, &value, 1);
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

}  // namespace

void throw_too_large(const OperandInfo& info, uint64_t index, double value, DType output_dtype) {
  const std::string what =
      "Tensor '" + info.name + "': the fused value of element " + std::to_string(index) + " is";
  throw Error("ERR_NON_FINITE", does_not_fit(what, value, output_dtype));
}

void throw_non_finite(const OperandInfo& info, uint64_t index, bool in_left, const std::byte* element) {
  throw Error("ERR_NON_FINITE",
              "Tensor '" + info.name + "' of " + (in_left ? "Left" : "Right") + " holds " +
                  value_text(info.dtype, element) + " at element " + std::to_string(index) +
                  ". Repair the checkpoint, or keep one side's tensor whole with nonFinite 'left' or "
                  "'right' (--non-finite).");
}

void throw_overflow(const OperandInfo& info) {
  throw Error("ERR_NON_FINITE",
              "Tensor '" + info.name +
                  "': its values differ by more than float64 can hold, so its scores are infinite. "
                  "Repair the checkpoint.");
}

}  // namespace branchmerge
