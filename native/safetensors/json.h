#pragma once
#include <bitset>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace branchmerge {

/// Arrays and objects may be this deep inside each other. A header needs 3, an index 2.
inline constexpr size_t kMaxJsonDepth = 128;

/// The text is not JSON. `what()` says what was expected, `position` is the byte where it was not found.
struct JsonError : std::runtime_error {
  size_t position;
  JsonError(size_t error_position, const std::string& message)
      : std::runtime_error(message), position(error_position) {}
};

enum class JsonToken {
  kObjectBegin,
  kObjectEnd,
  kArrayBegin,
  kArrayEnd,
  kKey,
  kString,
  kNumber,
  kBoolean,
  kNull,
  kEnd,  // after the one value of the text
};

/// A strict pull reader of JSON (RFC 8259): one token a call, in linear time, without recursion and without
/// memory beyond one decoded string. It takes no byte order mark, comment, trailing comma, NUL padding or
/// lone surrogate escape. The text must be UTF-8 (see find_invalid_utf8) and must outlive the reader.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : input_(text) {}

  /// The next token, or JsonError. After kEnd it stays kEnd.
  JsonToken next();
  /// Steps over one whole value; call it where a value is due (after kKey, or at the start).
  void skip_value();

  /// The decoded text of the last kKey or kString, or the last kNumber, kBoolean or kNull as it is written.
  /// Valid until the next call of next().
  std::string_view text() const { return text_; }

 private:
  enum class State { kValue, kFirstElement, kFirstKey, kKey, kAfterValue };

  JsonToken read_value();
  JsonToken read_key();
  JsonToken read_literal(std::string_view literal, JsonToken token);
  JsonToken read_number();
  JsonToken open(JsonToken token, State state);
  JsonToken close();
  void read_string();
  void read_escape();
  unsigned read_hex4();
  void read_digits();
  void skip_plain_characters();
  void skip_whitespace();
  bool take(char character);
  bool in_object() const { return is_object_[depth_ - 1]; }
  [[noreturn]] void fail(const std::string& expected) const;

  std::string_view input_;
  size_t position_ = 0;
  State state_ = State::kValue;
  size_t depth_ = 0;
  std::bitset<kMaxJsonDepth> is_object_;
  std::string decoded_;  // holds text_ when the string had escapes
  std::string_view text_;
};

/// Reads the whole text and throws JsonError unless it is one JSON value.
void check_json(std::string_view text);

/// Position of the first byte that is not UTF-8 (overlong forms, surrogates and values past U+10FFFF are
/// not).
std::optional<size_t> find_invalid_utf8(std::string_view text);

/// Appends `text`, which must be UTF-8, as a JSON string with its quotes: control characters escaped, all
/// others as they are.
void append_json_string(std::string& output, std::string_view text);

/// `text` as a JSON string for a message: at most about 100 bytes of it, the rest as an ellipsis.
std::string quote_for_message(std::string_view text);

}  // namespace branchmerge
