#include "sft/train/json_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "io/file.h"

namespace branchmerge::sft {
namespace {

/// Builds the tree of a text. The reader bounds the depth, so recursion is bounded, too.
class TreeBuilder {
 public:
  TreeBuilder(std::string_view file, std::string_view text, const char* code)
      : file_(file), reader_(text), code_(code) {}

  JsonNode build() {
    JsonNode root = read_value(reader_.next());
    reader_.next();  // throws when something follows the value
    return root;
  }

 private:
  JsonNode read_value(JsonToken token) {
    JsonNode node{token, std::string(reader_.text()), {}, {}};
    if (token == JsonToken::kObjectBegin) read_members(node);
    if (token == JsonToken::kArrayBegin) read_elements(node);
    return node;
  }

  void read_members(JsonNode& node) {
    while (reader_.next() == JsonToken::kKey) {
      node.keys.emplace_back(reader_.text());
      node.children.push_back(read_value(reader_.next()));
    }
    std::vector<std::string_view> sorted(node.keys.begin(), node.keys.end());
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
      throw Error(code_, std::string(file_) + ": expected each field once but found " +
                             quote_for_message(*twice) + " twice");
  }

  void read_elements(JsonNode& node) {
    for (;;) {
      const JsonToken token = reader_.next();
      if (token == JsonToken::kArrayEnd) return;
      node.children.push_back(read_value(token));
    }
  }

  std::string_view file_;
  JsonReader reader_;
  const char* code_;
};

std::string text_for_message(const JsonNode& node) {
  switch (node.kind) {
    case JsonToken::kString:
      return quote_for_message(node.text);
    case JsonToken::kNumber:
    case JsonToken::kBoolean:
      return node.text;
    case JsonToken::kNull:
      return "null";
    case JsonToken::kArrayBegin:
      return "an array";
    default:
      return "an object";
  }
}

std::string range_text(double value) {
  std::string text(32, '\0');
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value);
  text.resize(result.ptr - text.data());
  return text;
}

}  // namespace

JsonNode read_json_file(const std::string& path, uint64_t max_bytes, const char* code) {
  const File file = File::open_for_reading(path);
  const uint64_t size = file.size();
  if (size > max_bytes)
    throw Error(code, path + ": expected at most " + std::to_string(max_bytes) + " bytes but the file has " +
                          std::to_string(size));
  std::string text(size, '\0');
  file.read_exactly(std::as_writable_bytes(std::span(text)), 0);
  if (const auto position = find_invalid_utf8(text))
    throw Error(code, path + ": expected UTF-8 but byte " + std::to_string(*position) + " is not");
  try {
    return TreeBuilder(path, text, code).build();
  } catch (const JsonError& error) {
    throw Error(code,
                path + ": expected JSON but at byte " + std::to_string(error.position) + ": " + error.what());
  }
}

JsonFields::JsonFields(const JsonNode& node, std::string place, const char* code)
    : node_(node), place_(std::move(place)), code_(code), taken_(node.keys.size(), false) {
  if (node.kind != JsonToken::kObjectBegin)
    throw Error(code_, place_ + ": expected an object but received " + text_for_message(node));
}

std::optional<size_t> JsonFields::find(std::string_view name) const {
  const auto found = std::find(node_.keys.begin(), node_.keys.end(), name);
  if (found == node_.keys.end()) return std::nullopt;
  return size_t(found - node_.keys.begin());
}

void JsonFields::fail(std::string_view name, std::string_view expected) const {
  const auto index = find(name);
  throw Error(code_, place_ + ": expected " + std::string(expected) + " for " + std::string(name) +
                         (index ? " but received " + text_for_message(node_.children[*index])
                                : std::string(" but the field is missing")));
}

const JsonNode& JsonFields::take(std::string_view name) {
  const auto index = find(name);
  if (!index) fail(name, "a value");
  taken_[*index] = true;
  return node_.children[*index];
}

const JsonNode& JsonFields::take(std::string_view name, JsonToken kind, std::string_view expected) {
  const auto index = find(name);
  if (!index || node_.children[*index].kind != kind) fail(name, expected);
  return take(name);
}

bool JsonFields::boolean(std::string_view name) {
  return take(name, JsonToken::kBoolean, "true or false").text == "true";
}

std::string JsonFields::string(std::string_view name) {
  const JsonNode& node = take(name, JsonToken::kString, "a string that is not empty");
  if (node.text.empty()) fail(name, "a string that is not empty");
  return node.text;
}

size_t JsonFields::choice(std::string_view name, std::initializer_list<std::string_view> choices) {
  std::string expected = "one of";
  for (const std::string_view choice : choices)
    expected += (choice == *choices.begin() ? " " : ", ") + std::string(choice);
  const JsonNode& node = take(name, JsonToken::kString, expected);
  const auto* const found = std::find(choices.begin(), choices.end(), node.text);
  if (found == choices.end()) fail(name, expected);
  return size_t(found - choices.begin());
}

uint64_t JsonFields::integer(std::string_view name, uint64_t least, uint64_t most) {
  const std::string expected = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
  const auto value = parse_integer(take(name, JsonToken::kNumber, expected).text);
  if (!value || *value < least || *value > most) fail(name, expected);
  return *value;
}

double JsonFields::number(std::string_view name, double least, double most, bool without_least) {
  const std::string expected = "a number " + std::string(without_least ? "above " : "from ") +
                               range_text(least) + " to " + range_text(most);
  const std::string& text = take(name, JsonToken::kNumber, expected).text;
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = result.ec == std::errc() && result.ptr == text.data() + text.size();
  if (!is_number || !(value >= least && value <= most) || (without_least && value == least))
    fail(name, expected);
  return value;
}

JsonFields JsonFields::object(std::string_view name) {
  const JsonNode& node = take(name, JsonToken::kObjectBegin, "an object");
  return {node, place_ + ": " + std::string(name), code_};
}

const std::vector<JsonNode>& JsonFields::array(std::string_view name) {
  return take(name, JsonToken::kArrayBegin, "an array").children;
}

bool JsonFields::is_null(std::string_view name) {
  const auto index = find(name);
  if (!index || node_.children[*index].kind != JsonToken::kNull) return false;
  taken_[*index] = true;
  return true;
}

std::optional<uint64_t> JsonFields::integer_or_null(std::string_view name, uint64_t least) {
  if (is_null(name)) return std::nullopt;
  return integer(name, least);
}

std::optional<std::string> JsonFields::string_or_null(std::string_view name) {
  if (is_null(name)) return std::nullopt;
  return string(name);
}

void JsonFields::finish() const {
  for (size_t i = 0; i < taken_.size(); i++)
    if (!taken_[i])
      throw Error(code_, place_ + ": expected no field " + quote_for_message(node_.keys[i]) +
                             "; this version does not know it");
}

std::optional<uint64_t> parse_integer(std::string_view text) {
  uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace branchmerge::sft
