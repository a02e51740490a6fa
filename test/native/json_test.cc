#include "safetensors/json.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace branchmerge {
namespace {

using namespace std::string_literals;

/// The tokens of a text in a short notation: { } [ ] k:key s:string n:number b z, or "!POSITION" where it
/// fails.
std::string tokens(std::string_view text) {
  std::string result;
  JsonReader reader(text);
  try {
    for (;;) {
      switch (reader.next()) {
        case JsonToken::kObjectBegin:
          result += "{ ";
          break;
        case JsonToken::kObjectEnd:
          result += "} ";
          break;
        case JsonToken::kArrayBegin:
          result += "[ ";
          break;
        case JsonToken::kArrayEnd:
          result += "] ";
          break;
        case JsonToken::kKey:
          result += "k:" + std::string(reader.text()) + " ";
          break;
        case JsonToken::kString:
          result += "s:" + std::string(reader.text()) + " ";
          break;
        case JsonToken::kNumber:
          result += "n:" + std::string(reader.text()) + " ";
          break;
        case JsonToken::kBoolean:
          result += "b ";
          break;
        case JsonToken::kNull:
          result += "z ";
          break;
        case JsonToken::kEnd:
          return result;
      }
    }
  } catch (const JsonError& error) {
    return "!" + std::to_string(error.position);
  }
}

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

struct Case {
  std::string text;
  std::string expected;
};

TEST_CASE("JSON texts that are accepted") {
  const std::vector<Case> cases = {
      {"{}", "{ } "},
      {" \t\r\n{ } \n", "{ } "},
      {"[]", "[ ] "},
      {"null", "z "},
      {"[true,false,null]", "[ b b z ] "},
      {R"({"a":1,"b":[2,{"c":"d"}],"e":{}})", "{ k:a n:1 k:b [ n:2 { k:c s:d } ] k:e { } } "},
      {"[0,-0,10,-1.5,1e3,1E+3,2.5e-07]", "[ n:0 n:-0 n:10 n:-1.5 n:1e3 n:1E+3 n:2.5e-07 ] "},
      {R"("\"\\\/\b\f\n\r\t")", "s:\"\\/\b\f\n\r\t "},
      {R"("a\u0041b")", "s:aAb "},
      {R"("\u00e9\u20ac\ud83d\ude00\uD83D\uDE00")", "s:é€😀😀 "},
      {R"("\u0000x")", "s:\0x "s},
      {"\"é€😀\"", "s:é€😀 "},
      {R"({"":""})", "{ k: s: } "},
      {R"({"\u0061":1})", "{ k:a n:1 } "},
  };
  for (const Case& item : cases) {
    CAPTURE(item.text);
    CHECK(tokens(item.text) == item.expected);
  }
}

TEST_CASE("JSON texts that are refused, and where") {
  const std::vector<Case> cases = {
      {"", "!0"},
      {"  ", "!2"},
      {"{", "!1"},
      {"[", "!1"},
      {"}", "!0"},
      {"{}{}", "!2"},
      {"{}\0"s, "!2"},
      {"\xEF\xBB\xBF{}", "!0"},
      {"[1,]", "!3"},
      {"[,1]", "!1"},
      {"[1 2]", "!3"},
      {"[1}", "!2"},
      {R"({"a"})", "!4"},
      {R"({"a":})", "!5"},
      {R"({"a":1,})", "!7"},
      {R"({a:1})", "!1"},
      {R"({'a':1})", "!1"},
      {R"({"a":1)", "!6"},
      {R"({"a":1])", "!6"},
      {"// x\n{}", "!0"},
      {"01", "!1"},
      {"-", "!1"},
      {"+1", "!0"},
      {".5", "!0"},
      {"1.", "!2"},
      {"1e", "!2"},
      {"1e+", "!3"},
      {"0x10", "!1"},
      {"NaN", "!0"},
      {"Infinity", "!0"},
      {"-Infinity", "!1"},
      {"tru", "!0"},
      {"nulll", "!4"},
      {"True", "!0"},
      {"\"abc", "!4"},
      {"\"a\nb\"", "!2"},
      {"\"a\0b\""s, "!2"},
      {R"("\x41")", "!2"},
      {R"("\)", "!2"},
      {R"("\u12")", "!5"},
      {R"("\u12g4")", "!5"},
      {R"("\ud800")", "!7"},
      {R"("\udc00")", "!7"},
      {R"("\ud800x")", "!7"},
      {R"("\ud800\n")", "!8"},
      {R"("\ud800\ud800")", "!13"},
      {R"("\ud800\u0041")", "!13"},
  };
  for (const Case& item : cases) {
    CAPTURE(item.text);
    CHECK(tokens(item.text) == item.expected);
  }
}

TEST_CASE("JSON may nest 128 deep and no deeper") {
  CHECK_NOTHROW(check_json(nested(kMaxJsonDepth)));
  CHECK_THROWS_AS(check_json(nested(kMaxJsonDepth + 1)), JsonError);
  CHECK_THROWS_AS(check_json(nested(1'000'000)), JsonError);
}

TEST_CASE("skip_value steps over one value of any kind") {
  JsonReader reader(R"({"a":{"b":[1,{"c":[]}]},"d":[[],2],"e":"x","f":7})");
  REQUIRE(reader.next() == JsonToken::kObjectBegin);
  for (const std::string_view key : {"a", "d", "e", "f"}) {
    REQUIRE(reader.next() == JsonToken::kKey);
    CHECK(reader.text() == key);
    reader.skip_value();
  }
  CHECK(reader.next() == JsonToken::kObjectEnd);
  CHECK(reader.next() == JsonToken::kEnd);
}

TEST_CASE("UTF-8 is validated as Unicode's table of well-formed sequences says") {
  const std::vector<std::string> valid = {
      "",
      "plain",
      "\x7F",
      "\xC2\x80",
      "\xDF\xBF",
      "\xE0\xA0\x80",
      "\xED\x9F\xBF",
      "\xEE\x80\x80",
      "\xEF\xBF\xBF",
      "\xF0\x90\x80\x80",
      "\xF4\x8F\xBF\xBF",
      "long plain text and é€😀 at its end",
  };
  for (const std::string& text : valid) {
    CAPTURE(text);
    CHECK(find_invalid_utf8(text) == std::nullopt);
  }
  const std::vector<std::string> invalid = {
      "\x80",
      "\xBF",
      "\xC0\xAF",
      "\xC1\xBF",
      "\xC2",
      "\xC2 ",
      "\xE0\x9F\xBF",
      "\xED\xA0\x80",
      "\xED\xBF\xBF",
      "\xE2\x82",
      "\xE2\x82 ",
      "\xF0\x8F\xBF\xBF",
      "\xF0\x9F\x98 ",
      "\xF4\x90\x80\x80",
      "\xF5\x80\x80\x80",
      "\xFE",
      "\xFF",
  };
  for (const std::string& text : invalid) {
    CAPTURE(text);
    CHECK(find_invalid_utf8(text) == 0);
    CHECK(find_invalid_utf8("0123456789" + text) == 10);
  }
}

TEST_CASE("a written string reads back as it was") {
  const std::vector<std::string> texts = {
      "", "plain", "\"\\/", "\0\x01\x1F\x7F"s, "\xC2\x80\xC2\x9F\xC2\xA0", "é€😀"};
  for (const std::string& text : texts) {
    std::string json;
    append_json_string(json, text);
    CAPTURE(json);
    CHECK(tokens(json) == "s:" + text + " ");
  }
}

TEST_CASE("a quoted text is short, whole UTF-8 and free of control characters") {
  CHECK(quote_for_message("a\nb\x7F\xC2\x9B") == R"("a\u000ab\u007f\u009b")");
  const std::string quoted = quote_for_message(std::string(99, 'x') + "€" + std::string(65'000, 'y'));
  CHECK(quoted == "\"" + std::string(99, 'x') + "\"… (65102 bytes)");
}

TEST_CASE("a long text is read in linear time") {
  std::string text = "[";
  for (int i = 0; i < 1'000'000; ++i) text += "\"\\u0041\",";
  text += "0]";
  const auto start = std::chrono::steady_clock::now();
  check_json(text);
  // Quadratic behaviour would take hours; the bound leaves room for sanitizers on a busy machine.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

}  // namespace
}  // namespace branchmerge
