#pragma once
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "safetensors/json.h"

namespace branchmerge::sft {

/// One JSON value in memory.
struct JsonNode {
  JsonToken kind;                  // kObjectBegin, kArrayBegin, kString, kNumber, kBoolean or kNull
  std::string text;                // of a string, number or boolean
  std::vector<std::string> keys;   // of an object, one for each child
  std::vector<JsonNode> children;  // of an object or an array
};

/// Reads a file of at most `max_bytes` that is one JSON value, in UTF-8 and without a key twice. Failures
/// have `code`, but for those of opening and reading.
JsonNode read_json_file(const std::string& path, uint64_t max_bytes, const char* code);

/// Takes the fields of an object, each by its name and with its type and range. finish() refuses those that
/// nobody took, so that a misspelt field is an error. Failures have the code given and begin with `place`.
class JsonFields {
 public:
  /// `place` names the object in messages: a file, or a file and a field. Throws unless `node` is an object.
  /// `node` must outlive this.
  JsonFields(const JsonNode& node, std::string place, const char* code);

  bool boolean(std::string_view name);
  std::string string(std::string_view name);
  /// One of `choices`; its position.
  size_t choice(std::string_view name, std::initializer_list<std::string_view> choices);
  uint64_t integer(std::string_view name, uint64_t least,
                   uint64_t most = std::numeric_limits<int64_t>::max());
  /// From `least` to `most`, or, where it says so, beyond `least`.
  double number(std::string_view name, double least, double most, bool without_least = false);
  JsonFields object(std::string_view name);
  /// Whatever it is.
  const JsonNode& node(std::string_view name) { return take(name); }
  /// The elements of an array.
  const std::vector<JsonNode>& array(std::string_view name);
  /// Whether the field is null; then it is taken.
  bool is_null(std::string_view name);
  std::optional<uint64_t> integer_or_null(std::string_view name, uint64_t least);
  std::optional<std::string> string_or_null(std::string_view name);
  /// Throws when a field was not taken.
  void finish() const;

  const std::string& place() const { return place_; }
  /// Throws "PLACE: expected WHAT for NAME but received the field's value".
  [[noreturn]] void fail(std::string_view name, std::string_view expected) const;

 private:
  const JsonNode& take(std::string_view name);
  const JsonNode& take(std::string_view name, JsonToken kind, std::string_view expected);
  std::optional<size_t> find(std::string_view name) const;

  const JsonNode& node_;
  std::string place_;
  const char* code_;
  std::vector<bool> taken_;
};

/// The integer that a number's text spells, if it is one that fits.
std::optional<uint64_t> parse_integer(std::string_view text);

}  // namespace branchmerge::sft
