#include "safetensors/json.h"

#include <cstdint>
#include <cstring>

namespace branchmerge {
namespace {

constexpr size_t kMaxQuotedBytes = 100;

bool is_digit(char character) { return character >= '0' && character <= '9'; }

bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

/// Length of the UTF-8 sequence at the start of `text`, or 0 when there is none (Unicode 15, table 3-7).
size_t utf8_sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  // The second byte decides on overlong forms, surrogates and the end of Unicode.
  const uint8_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < lowest || byte(1) > highest) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  return length;
}

void append_utf8(std::string& output, uint32_t code_point) {
  const auto tail = [&](unsigned shift) {
    output.push_back(static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)));
  };
  if (code_point < 0x80) {
    output.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    output.push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    tail(0);
  } else if (code_point < 0x10000) {
    output.push_back(static_cast<char>(0xE0 | (code_point >> 12)));
    tail(6);
    tail(0);
  } else {
    output.push_back(static_cast<char>(0xF0 | (code_point >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

JsonToken JsonReader::next() {
  skip_whitespace();
  if (state_ == State::kAfterValue) {
    if (depth_ == 0) {
      if (position_ < input_.size()) fail("the end of the text");
      return JsonToken::kEnd;
    }
    if (!take(',')) return close();
    skip_whitespace();
    state_ = in_object() ? State::kKey : State::kValue;
  }
  if (position_ == input_.size()) fail("more text");
  switch (state_) {
    case State::kFirstElement:
      return input_[position_] == ']' ? close() : read_value();
    case State::kFirstKey:
      return input_[position_] == '}' ? close() : read_key();
    case State::kKey:
      return read_key();
    default:
      return read_value();
  }
}

void JsonReader::skip_value() {
  size_t open_values = 0;
  do {
    const JsonToken token = next();
    if (token == JsonToken::kEnd) return;
    if (token == JsonToken::kObjectBegin || token == JsonToken::kArrayBegin) ++open_values;
    if (token == JsonToken::kObjectEnd || token == JsonToken::kArrayEnd) --open_values;
  } while (open_values > 0);
}

JsonToken JsonReader::read_value() {
  switch (input_[position_]) {
    case '{':
      return open(JsonToken::kObjectBegin, State::kFirstKey);
    case '[':
      return open(JsonToken::kArrayBegin, State::kFirstElement);
    case '"':
      read_string();
      state_ = State::kAfterValue;
      return JsonToken::kString;
    case 't':
      return read_literal("true", JsonToken::kBoolean);
    case 'f':
      return read_literal("false", JsonToken::kBoolean);
    case 'n':
      return read_literal("null", JsonToken::kNull);
    default:
      return read_number();
  }
}

JsonToken JsonReader::read_key() {
  if (input_[position_] != '"') fail("a key in double quotes");
  read_string();
  skip_whitespace();
  if (!take(':')) fail("':' after a key");
  state_ = State::kValue;
  return JsonToken::kKey;
}

JsonToken JsonReader::read_literal(std::string_view literal, JsonToken token) {
  text_ = input_.substr(position_, literal.size());
  if (text_ != literal) fail("a value");
  position_ += literal.size();
  state_ = State::kAfterValue;
  return token;
}

JsonToken JsonReader::read_number() {
  const size_t start = position_;
  const bool negative = take('-');
  if (position_ == input_.size() || !is_digit(input_[position_])) fail(negative ? "a digit" : "a value");
  if (!take('0')) read_digits();
  if (take('.')) read_digits();
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    read_digits();
  }
  text_ = input_.substr(start, position_ - start);
  state_ = State::kAfterValue;
  return JsonToken::kNumber;
}

JsonToken JsonReader::open(JsonToken token, State state) {
  if (depth_ == kMaxJsonDepth)
    fail("at most " + std::to_string(kMaxJsonDepth) + " nested arrays and objects");
  ++position_;
  is_object_[depth_++] = token == JsonToken::kObjectBegin;
  state_ = state;
  return token;
}

JsonToken JsonReader::close() {
  const bool object = in_object();
  if (!take(object ? '}' : ']')) fail(object ? "',' or '}'" : "',' or ']'");
  --depth_;
  state_ = State::kAfterValue;
  return object ? JsonToken::kObjectEnd : JsonToken::kArrayEnd;
}

void JsonReader::read_string() {
  const size_t start = ++position_;
  skip_plain_characters();
  if (take('"')) {
    text_ = input_.substr(start, position_ - 1 - start);
    return;
  }
  decoded_.assign(input_.substr(start, position_ - start));
  while (!take('"')) {
    read_escape();
    const size_t plain = position_;
    skip_plain_characters();
    decoded_.append(input_.substr(plain, position_ - plain));
  }
  text_ = decoded_;
}

void JsonReader::read_escape() {
  if (!take('\\')) fail("no control character inside a string");
  if (position_ == input_.size()) fail("more text");
  switch (const char character = input_[position_++]) {
    case '"':
    case '\\':
    case '/':
      return decoded_.push_back(character);
    case 'b':
      return decoded_.push_back('\b');
    case 'f':
      return decoded_.push_back('\f');
    case 'n':
      return decoded_.push_back('\n');
    case 'r':
      return decoded_.push_back('\r');
    case 't':
      return decoded_.push_back('\t');
    case 'u':
      break;
    default:
      --position_;
      fail("one of \"\\/bfnrtu after a backslash");
  }
  uint32_t code_point = read_hex4();
  if (code_point >= 0xDC00 && code_point <= 0xDFFF) fail("no lone surrogate before here");
  if (code_point >= 0xD800 && code_point <= 0xDBFF) {
    if (!take('\\') || !take('u')) fail("the second half of a surrogate pair");
    const uint32_t low = read_hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("the second half of a surrogate pair before here");
    code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(decoded_, code_point);
}

unsigned JsonReader::read_hex4() {
  unsigned value = 0;
  for (int digit = 0; digit < 4; ++digit, ++position_) {
    const char character = position_ < input_.size() ? input_[position_] : '\0';
    const char lower = static_cast<char>(character | 0x20);
    if (is_digit(character)) {
      value = value * 16 + static_cast<unsigned>(character - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      value = value * 16 + static_cast<unsigned>(lower - 'a' + 10);
    } else {
      fail("four hexadecimal digits after \\u");
    }
  }
  return value;
}

void JsonReader::read_digits() {
  const size_t start = position_;
  while (position_ < input_.size() && is_digit(input_[position_])) ++position_;
  if (position_ == start) fail("a digit");
}

void JsonReader::skip_plain_characters() {
  while (position_ < input_.size()) {
    const auto character = static_cast<uint8_t>(input_[position_]);
    if (character == '"' || character == '\\' || character < 0x20) return;
    ++position_;
  }
  fail("a closing quote");
}

void JsonReader::skip_whitespace() {
  while (position_ < input_.size()) {
    const char character = input_[position_];
    if (character != ' ' && character != '\n' && character != '\r' && character != '\t') return;
    ++position_;
  }
}

bool JsonReader::take(char character) {
  if (position_ == input_.size() || input_[position_] != character) return false;
  ++position_;
  return true;
}

void JsonReader::fail(const std::string& expected) const {
  throw JsonError(position_, "expected " + expected);
}

void check_json(std::string_view text) {
  JsonReader reader(text);
  while (reader.next() != JsonToken::kEnd) {
  }
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    uint64_t word;
    if (text.size() - position >= sizeof word) {
      std::memcpy(&word, text.data() + position, sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        position += sizeof word;
        continue;
      }
    }
    const size_t length = utf8_sequence_length(text.substr(position));
    if (length == 0) return position;
    position += length;
  }
  return std::nullopt;
}

void append_json_string(std::string& output, std::string_view text) {
  const auto append_escaped = [&](uint8_t code_point) {
    constexpr std::string_view kHex = "0123456789abcdef";
    output.append("\\u00");
    output.push_back(kHex[code_point >> 4]);
    output.push_back(kHex[code_point & 15]);
  };
  output.push_back('"');
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const auto next_byte = static_cast<uint8_t>(i + 1 < text.size() ? text[i + 1] : '\0');
    if (byte == '"' || byte == '\\') {
      output.push_back('\\');
      output.push_back(text[i]);
    } else if (byte < 0x20 || byte == 0x7F) {
      append_escaped(byte);
    } else if (byte == 0xC2 && next_byte < 0xA0) {  // U+0080 to U+009F: terminals obey some of them
      append_escaped(next_byte);
      ++i;
    } else {
      output.push_back(text[i]);
    }
  }
  output.push_back('"');
}

std::string quote_for_message(std::string_view text) {
  std::string quoted;
  if (text.size() <= kMaxQuotedBytes) {
    append_json_string(quoted, text);
    return quoted;
  }
  size_t length = kMaxQuotedBytes;
  while (length > 0 && is_continuation(text[length])) --length;
  append_json_string(quoted, text.substr(0, length));
  return quoted + "… (" + std::to_string(text.size()) + " bytes)";
}

}  // namespace branchmerge
