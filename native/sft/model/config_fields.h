#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "safetensors/json.h"

namespace branchmerge::sft {

/// The fields of one object of a config.json. A field that is null counts as absent, as in transformers.
/// Whatever is there but of another type, or out of range, is ERR_CONFIG_JSON.
class ConfigFields {
 public:
  struct Range {
    uint64_t least, most;
  };

  /// The whole text must be one JSON object without duplicate keys (ERR_CONFIG_JSON).
  static ConfigFields parse(std::string_view file, std::string_view json);

  bool has(const std::string& key) const { return values_.contains(key); }
  /// The value as it is written, for messages; the field must be there and no object or array.
  const std::string& text(const std::string& key) const { return values_.at(key).text; }

  uint64_t size(const std::string& key, uint64_t otherwise, const Range& range) const;
  uint64_t required_size(const std::string& key, const Range& range) const;
  double number(const std::string& key, double otherwise) const;
  double required_number(const std::string& key) const;
  bool boolean(const std::string& key, bool otherwise) const;
  std::string string(const std::string& key, const std::string& otherwise) const;
  std::string required_string(const std::string& key) const;
  std::vector<std::string> strings(const std::string& key) const;  // empty when absent
  std::optional<ConfigFields> object(const std::string& key) const;

  /// Throws ERR_CONFIG_JSON: the file is wrong.
  [[noreturn]] void fail(const std::string& message) const;
  /// Throws ERR_MODEL_UNSUPPORTED: the file is right, but this trainer does not compute such a model.
  [[noreturn]] void refuse(const std::string& message) const;

 private:
  struct Value {
    JsonToken token;                      // kObjectBegin and kArrayBegin for objects and arrays
    std::string text;                     // of a string, number or boolean
    std::map<std::string, Value> fields;  // of an object
    std::vector<Value> elements;          // of an array
  };

  ConfigFields(std::string place, std::map<std::string, Value> values)
      : place_(std::move(place)), values_(std::move(values)) {}

  static Value read_value(JsonReader& reader, JsonToken token);
  static std::map<std::string, Value> read_fields(JsonReader& reader);
  const Value* find(const std::string& key, JsonToken token, const std::string& expected) const;
  void require(const std::string& key) const;

  std::string place_;  // file, and the object within it
  std::map<std::string, Value> values_;
};

}  // namespace branchmerge::sft
