#include "sft/train/json_line.h"

#include <array>
#include <charconv>
#include <cmath>

#include "safetensors/json.h"

namespace branchmerge::sft {

JsonLine& JsonLine::text(std::string_view name, std::string_view value) {
  std::string quoted;
  append_json_string(quoted, value);
  return raw(name, quoted);
}

JsonLine& JsonLine::number(std::string_view name, double value) {
  if (!std::isfinite(value)) return null(name);
  std::array<char, 32> digits;
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return raw(name, {digits.data(), size_t(result.ptr - digits.data())});
}

JsonLine& JsonLine::raw(std::string_view name, std::string_view json) {
  members_ += members_.empty() ? '{' : ',';
  append_json_string(members_, name);
  members_ += ':';
  members_ += json;
  return *this;
}

}  // namespace branchmerge::sft
