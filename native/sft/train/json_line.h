#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace branchmerge::sft {

/// Builds one JSON object on one line.
class JsonLine {
 public:
  JsonLine& text(std::string_view name, std::string_view value);
  JsonLine& boolean(std::string_view name, bool value) { return raw(name, value ? "true" : "false"); }
  JsonLine& integer(std::string_view name, uint64_t value) { return raw(name, std::to_string(value)); }
  /// The shortest decimal that reads back as the same double; null when it is not finite, which JSON cannot
  /// say.
  JsonLine& number(std::string_view name, double value);
  JsonLine& null(std::string_view name) { return raw(name, "null"); }
  /// `json` is a JSON value.
  JsonLine& raw(std::string_view name, std::string_view json);

  /// The object, without a line break.
  std::string json() const { return members_.empty() ? "{}" : members_ + "}"; }

 private:
  std::string members_;
};

}  // namespace branchmerge::sft
