#include "sft/model/config_fields.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace branchmerge::sft {
namespace {

std::string describe(JsonToken token, const std::string& text) {
  if (token == JsonToken::kObjectBegin) return "an object";
  if (token == JsonToken::kArrayBegin) return "an array";
  return token == JsonToken::kString ? quote_for_message(text) : text;
}

/// The number, or nothing when it is not finite or not all of the text.
template <class Number>
std::optional<Number> parse_number(const std::string& text) {
  Number value{};
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

ConfigFields ConfigFields::parse(std::string_view file, std::string_view json) {
  ConfigFields result(std::string(file), {});
  if (const auto position = find_invalid_utf8(json))
    result.fail("Expected UTF-8 but found another byte at " + std::to_string(*position));
  try {
    JsonReader reader(json);
    if (reader.next() != JsonToken::kObjectBegin) result.fail("Expected a JSON object");
    result.values_ = read_fields(reader);
    reader.next();
  } catch (const JsonError& error) {
    result.fail("Expected JSON: " + std::string(error.what()) + " at byte " + std::to_string(error.position));
  }
  return result;
}

ConfigFields::Value ConfigFields::read_value(JsonReader& reader, JsonToken token) {
  if (token == JsonToken::kObjectBegin) return {token, {}, read_fields(reader), {}};
  Value value{token, std::string(token == JsonToken::kNull ? "null" : reader.text()), {}, {}};
  if (token == JsonToken::kArrayBegin) {
    for (JsonToken next = reader.next(); next != JsonToken::kArrayEnd; next = reader.next())
      value.elements.push_back(read_value(reader, next));
  }
  return value;
}

/// Reads up to the end of the object.
std::map<std::string, ConfigFields::Value> ConfigFields::read_fields(JsonReader& reader) {
  std::map<std::string, Value> fields;
  while (reader.next() == JsonToken::kKey) {
    std::string key(reader.text());
    Value value = read_value(reader, reader.next());
    if (value.token == JsonToken::kNull) continue;
    if (fields.contains(key)) throw JsonError(0, "expected key " + quote_for_message(key) + " once");
    fields.emplace(std::move(key), std::move(value));
  }
  return fields;
}

const ConfigFields::Value* ConfigFields::find(const std::string& key, JsonToken token,
                                              const std::string& expected) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return nullptr;
  if (found->second.token != token)
    fail("Expected " + expected + " for " + key + " but received " +
         describe(found->second.token, found->second.text));
  return &found->second;
}

void ConfigFields::require(const std::string& key) const {
  if (!has(key)) fail("Expected " + key + " but found none");
}

uint64_t ConfigFields::size(const std::string& key, uint64_t otherwise, const Range& range) const {
  const std::string expected =
      "an integer from " + std::to_string(range.least) + " to " + std::to_string(range.most);
  const Value* const value = find(key, JsonToken::kNumber, expected);
  if (!value) return otherwise;
  const auto number = parse_number<uint64_t>(value->text);
  if (!number || *number < range.least || *number > range.most)
    fail("Expected " + expected + " for " + key + " but received " + value->text);
  return *number;
}

uint64_t ConfigFields::required_size(const std::string& key, const Range& range) const {
  require(key);
  return size(key, 0, range);
}

double ConfigFields::number(const std::string& key, double otherwise) const {
  const Value* const value = find(key, JsonToken::kNumber, "a number");
  if (!value) return otherwise;
  const auto number = parse_number<double>(value->text);
  if (!number) fail("Expected a number for " + key + " but received " + value->text);
  return *number;
}

double ConfigFields::required_number(const std::string& key) const {
  require(key);
  return number(key, 0);
}

bool ConfigFields::boolean(const std::string& key, bool otherwise) const {
  const Value* const value = find(key, JsonToken::kBoolean, "true or false");
  return value ? value->text == "true" : otherwise;
}

std::string ConfigFields::string(const std::string& key, const std::string& otherwise) const {
  const Value* const value = find(key, JsonToken::kString, "a string");
  return value ? value->text : otherwise;
}

std::string ConfigFields::required_string(const std::string& key) const {
  require(key);
  return string(key, "");
}

std::vector<std::string> ConfigFields::strings(const std::string& key) const {
  const Value* const value = find(key, JsonToken::kArrayBegin, "an array of strings");
  std::vector<std::string> result;
  if (!value) return result;
  for (const Value& element : value->elements) {
    if (element.token != JsonToken::kString)
      fail("Expected an array of strings for " + key + " but it holds " +
           describe(element.token, element.text));
    result.push_back(element.text);
  }
  return result;
}

std::optional<ConfigFields> ConfigFields::object(const std::string& key) const {
  const Value* const value = find(key, JsonToken::kObjectBegin, "an object");
  if (!value) return std::nullopt;
  return ConfigFields(place_ + ", " + key, value->fields);
}

void ConfigFields::fail(const std::string& message) const {
  throw Error("ERR_CONFIG_JSON", place_ + ": " + message);
}

void ConfigFields::refuse(const std::string& message) const {
  throw Error("ERR_MODEL_UNSUPPORTED", place_ + ": " + message);
}

}  // namespace branchmerge::sft
