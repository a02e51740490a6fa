#include "safetensors/header.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "error_code.h"

namespace branchmerge {
namespace {

using namespace std::string_literals;

struct Case {
  const char* name;
  std::string bytes;
  const char* code;  // "" for a file that is accepted
};

std::string length_bytes(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(length >> (8 * i)));
  return bytes;
}

/// A whole file: the length of `json`, `json` and `data_bytes` zeros.
std::string file_of(const std::string& json, size_t data_bytes = 0) {
  return length_bytes(json.size()) + json + std::string(data_bytes, '\0');
}

/// A file of one tensor w.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                size_t data_bytes = 0) {
  return file_of(
      R"({"w":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
      data_bytes);
}

/// A file of one F32 scalar whose name is written as `quoted_name`.
std::string named(const std::string& quoted_name) {
  return file_of("{" + quoted_name + R"(:{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4);
}

std::string two(const std::string& first_offsets, const std::string& second_offsets, size_t data_bytes) {
  return file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first_offsets +
                     R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second_offsets + "}}",
                 data_bytes);
}

std::string tensors(size_t count) {
  std::string json = "{";
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) json += ",";
    json += "\"" + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  return file_of(json + "}");
}

Header parse(const std::string& bytes) {
  const auto all = bytes_of(bytes);
  const uint64_t length = parse_header_length("x.safetensors", all, all.size());
  return parse_header("x.safetensors", all.subspan(8, length), all.size());
}

void check_codes(const std::vector<Case>& cases) {
  for (const Case& item : cases) {
    CAPTURE(item.name);
    CHECK(error_code([&] { parse(item.bytes); }) == item.code);
  }
}

TEST_CASE("the first eight bytes") {
  check_codes({
      {"empty file", "", "ERR_HEADER_TOO_SMALL"},
      {"7 bytes", "\0\0\0\0\0\0\0"s, "ERR_HEADER_TOO_SMALL"},
      {"length 2^63", "\0\0\0\0\0\0\0\x80{}"s, "ERR_HEADER_TOO_LARGE"},
      {"length 2^64-1", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}"s, "ERR_HEADER_TOO_LARGE"},
      {"length that wraps when 8 is added and more", "\x3C\0\0\0\0\xFF\xFF\xFF{}"s, "ERR_HEADER_TOO_LARGE"},
      {"length 1e8+1", length_bytes(100'000'001) + "{}", "ERR_HEADER_TOO_LARGE"},
      {"length 1e8 in a short file", length_bytes(100'000'000) + "{}", "ERR_HEADER_LENGTH"},
      {"length of the whole file", length_bytes(10) + "{}", "ERR_HEADER_LENGTH"},
      {"one byte beyond the file", length_bytes(3) + "{}", "ERR_HEADER_LENGTH"},
      {"length 0", length_bytes(0), "ERR_HEADER_JSON"},
  });
  CHECK(parse_header_length("x", bytes_of(length_bytes(100'000'000)), 100'000'008) == 100'000'000);
}

TEST_CASE("the text") {
  check_codes({
      {"not UTF-8", file_of("{\"\xFF\":1}"), "ERR_HEADER_UTF8"},
      {"overlong UTF-8", file_of("{\"\xC0\xAF\":1}"), "ERR_HEADER_UTF8"},
      {"surrogate in UTF-8", file_of("{\"\xED\xA0\x80\":1}"), "ERR_HEADER_UTF8"},
      {"not UTF-8 counts before not JSON", file_of("{\xFF"), "ERR_HEADER_UTF8"},
      {"open brace only", file_of("{"), "ERR_HEADER_JSON"},
      {"array", file_of("[]"), "ERR_HEADER_JSON"},
      {"null", file_of("null"), "ERR_HEADER_JSON"},
      {"string", file_of("\"{}\""), "ERR_HEADER_JSON"},
      {"number", file_of("2"), "ERR_HEADER_JSON"},
      {"NUL padding", file_of("{}\0\0\0\0\0\0"s), "ERR_HEADER_JSON"},
      {"byte order mark", file_of("\xEF\xBB\xBF{}"), "ERR_HEADER_JSON"},
      {"two objects", file_of("{}{}"), "ERR_HEADER_JSON"},
      {"lone surrogate in a name", named(R"("\ud800")"), "ERR_HEADER_JSON"},
      {"comment", file_of("{/**/}"), "ERR_HEADER_JSON"},
      {"trailing comma", file_of(R"({"__metadata__":{},})"), "ERR_HEADER_JSON"},
      {"depth 129", file_of(R"({"x":)" + std::string(128, '[') + std::string(128, ']') + "}"),
       "ERR_HEADER_JSON"},
      {"depth 1e5", file_of(R"({"x":)" + std::string(100'000, '[')), "ERR_HEADER_JSON"},
  });
}

TEST_CASE("duplicates") {
  check_codes({
      {"tensor twice, same range",
       file_of(
           R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
           1),
       "ERR_HEADER_DUPLICATE"},
      {"tensor twice, one name escaped",
       file_of(
           R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0077":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
           2),
       "ERR_HEADER_DUPLICATE"},
      {"dtype twice", file_of(R"({"w":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
       "ERR_HEADER_DUPLICATE"},
      {"shape twice", file_of(R"({"w":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1),
       "ERR_HEADER_DUPLICATE"},
      {"data_offsets twice",
       file_of(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"data_offsets":[0,1]}})", 1),
       "ERR_HEADER_DUPLICATE"},
      {"__metadata__ twice", file_of(R"({"__metadata__":{},"__metadata__":{}})"), "ERR_HEADER_DUPLICATE"},
      {"key of __metadata__ twice", file_of(R"({"__metadata__":{"a":"1","a":"2"}})"), "ERR_HEADER_DUPLICATE"},
  });
}

TEST_CASE("metadata") {
  check_codes({
      {"number as value", file_of(R"({"__metadata__":{"a":1}})"), "ERR_HEADER_METADATA"},
      {"null as value", file_of(R"({"__metadata__":{"a":null}})"), "ERR_HEADER_METADATA"},
      {"object as value", file_of(R"({"__metadata__":{"a":{"b":"c"}}})"), "ERR_HEADER_METADATA"},
      {"array", file_of(R"({"__metadata__":["a"]})"), "ERR_HEADER_METADATA"},
      {"string", file_of(R"({"__metadata__":"a"})"), "ERR_HEADER_METADATA"},
      {"a tensor's entry", file_of(R"({"__metadata__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
       "ERR_HEADER_METADATA"},
      {"null", file_of(R"({"__metadata__":null})"), ""},
      {"empty", file_of(R"({"__metadata__":{}})"), ""},
  });
  std::string many = R"({"__metadata__":{)";
  for (int i = 0; i <= 65'536; ++i) many += "\"" + std::to_string(i) + "\":\"\",";
  many.back() = '}';
  check_codes({{"more entries than any writer stores", file_of(many + "}"), "ERR_HEADER_METADATA"}});

  const Header header = parse(file_of(R"({"__metadata__":{"b":"2","a":"\u0041\n"}})"));
  CHECK(header.metadata == Metadata{{"b", "2"}, {"a", "A\n"}});
}

TEST_CASE("tensor entries") {
  check_codes({
      {"array form", file_of(R"({"w":["U8",[1],[0,1]]})", 1), "ERR_TENSOR_ENTRY"},
      {"null", file_of(R"({"w":null})"), "ERR_TENSOR_ENTRY"},
      {"empty", file_of(R"({"w":{}})"), "ERR_TENSOR_ENTRY"},
      {"no dtype", file_of(R"({"w":{"shape":[1],"data_offsets":[0,1]}})", 1), "ERR_TENSOR_ENTRY"},
      {"no shape", file_of(R"({"w":{"dtype":"U8","data_offsets":[0,1]}})", 1), "ERR_TENSOR_ENTRY"},
      {"no data_offsets", file_of(R"({"w":{"dtype":"U8","shape":[1]}})", 1), "ERR_TENSOR_ENTRY"},
      {"unknown field", file_of(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"stride":[1]}})", 1),
       "ERR_TENSOR_ENTRY"},
      {"dtype is a number", one("1", "[1]", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"unknown dtype", one(R"("F33")", "[1]", "[0,4]", 4), "ERR_TENSOR_DTYPE"},
      {"unknown dtype with a wild range", one(R"("F33")", "[1]", "[0,4000000000]", 4), "ERR_TENSOR_DTYPE"},
      {"lower-case dtype", one(R"("f32")", "[1]", "[0,4]", 4), "ERR_TENSOR_DTYPE"},
      {"shape is a number", one(R"("U8")", "1", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"shape is null", one(R"("U8")", "null", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"shape is nested", one(R"("U8")", "[[1]]", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"string in shape", one(R"("U8")", R"(["1"])", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"-1 in shape", one(R"("U8")", "[-1]", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"1.0 in shape", one(R"("U8")", "[1.0]", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"1e0 in shape", one(R"("U8")", "[1e0]", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"-0 in offsets", one(R"("U8")", "[1]", "[-0,1]", 1), "ERR_TENSOR_ENTRY"},
      {"-1 in offsets", one(R"("U8")", "[1]", "[-1,1]", 1), "ERR_TENSOR_ENTRY"},
      {"1.0 in offsets", one(R"("U8")", "[1]", "[0,1.0]", 1), "ERR_TENSOR_ENTRY"},
      {"1e3 in offsets", one(R"("U8")", "[1000]", "[0,1e3]", 1000), "ERR_TENSOR_ENTRY"},
      {"string in offsets", one(R"("U8")", "[1]", R"(["0","1"])", 1), "ERR_TENSOR_ENTRY"},
      {"one offset", one(R"("U8")", "[1]", "[0]", 1), "ERR_TENSOR_ENTRY"},
      {"three offsets", one(R"("U8")", "[1]", "[0,1,2]", 1), "ERR_TENSOR_ENTRY"},
      {"no offsets", one(R"("U8")", "[1]", "[]", 1), "ERR_TENSOR_ENTRY"},
      {"offsets are an object", one(R"("U8")", "[1]", R"({"begin":0})", 1), "ERR_TENSOR_ENTRY"},
  });
  std::string ones = "1";
  for (int i = 1; i < 64; ++i) ones += ",1";
  check_codes({
      {"64 dimensions", one(R"("U8")", "[" + ones + "]", "[0,1]", 1), ""},
      {"65 dimensions", one(R"("U8")", "[" + ones + ",1]", "[0,1]", 1), "ERR_TENSOR_ENTRY"},
  });
}

TEST_CASE("tensor names") {
  check_codes({
      {"empty", named(R"("")"), "ERR_TENSOR_NAME"},
      {"1024 bytes", named("\"" + std::string(1024, 'x') + "\""), ""},
      {"1025 bytes", named("\"" + std::string(1025, 'x') + "\""), "ERR_TENSOR_NAME"},
      {"65 000 bytes", named("\"" + std::string(65'000, 'x') + "\""), "ERR_TENSOR_NAME"},
      {"NUL", named(R"("a\u0000b")"), "ERR_TENSOR_NAME"},
      {"line feed", named(R"("a\nb")"), "ERR_TENSOR_NAME"},
      {"terminal escape", named(R"("\u001b[2J")"), "ERR_TENSOR_NAME"},
      {"delete", named("\"a\x7F\""), "ERR_TENSOR_NAME"},
      {"control sequence introducer U+009B", named("\"\xC2\x9B\""), "ERR_TENSOR_NAME"},
      {"parent folder", named(R"("../w")"), "ERR_TENSOR_NAME"},
      {"parent folder inside", named(R"("a/../../w")"), "ERR_TENSOR_NAME"},
      {"parent folder at the end", named(R"("a/..")"), "ERR_TENSOR_NAME"},
      {"parent folder, backslash", named(R"("..\\w")"), "ERR_TENSOR_NAME"},
      {"parent folder, escaped", named(R"("\u002e.\/w")"), "ERR_TENSOR_NAME"},
      {"absolute", named(R"("/etc/passwd")"), "ERR_TENSOR_NAME"},
      {"absolute, backslash", named(R"("\\\\host\\w")"), "ERR_TENSOR_NAME"},
      {"absolute, drive", named(R"("C:\\w")"), "ERR_TENSOR_NAME"},
      {"__proto__", named(R"("__proto__")"), ""},
      {"constructor", named(R"("constructor")"), ""},
      {"slashes", named(R"("bert/encoder/layer_0/kernel:0")"), ""},
      {"dots", named(R"("model..layers...")"), ""},
      {"beyond ASCII", named("\"模型é😀\xC2\xA0\""), ""},
  });
}

TEST_CASE("numbers beyond what JavaScript holds exactly, and products that overflow") {
  check_codes({
      {"2^53 in shape", one(R"("U8")", "[9007199254740992]", "[0,1]", 1), "ERR_TENSOR_OVERFLOW"},
      {"2^53+1 in offsets", one(R"("U8")", "[1]", "[0,9007199254740993]", 1), "ERR_TENSOR_OVERFLOW"},
      {"u64-max in offsets", one(R"("U8")", "[1]", "[0,18446744073709551615]", 1), "ERR_TENSOR_OVERFLOW"},
      {"u64-max+1 in offsets", one(R"("U8")", "[1]", "[0,18446744073709551616]", 1), "ERR_TENSOR_OVERFLOW"},
      {"500 digits", one(R"("U8")", "[" + std::string(500, '9') + "]", "[0,1]", 1), "ERR_TENSOR_OVERFLOW"},
      {"[2,2^64-2]", one(R"("U8")", "[2,18446744073709551614]", "[0,4]", 4), "ERR_TENSOR_OVERFLOW"},
      {"[2,2^63-1]", one(R"("U8")", "[2,9223372036854775807]", "[0,4]", 4), "ERR_TENSOR_OVERFLOW"},
      {"product 2^64 wraps to 0", one(R"("U8")", "[4294967296,4294967296]", "[0,0]"), "ERR_TENSOR_OVERFLOW"},
      {"product 2^64+4 would wrap to 4", one(R"("U8")", "[2305843009213693952,8]", "[0,4]", 4),
       "ERR_TENSOR_OVERFLOW"},
      {"elements fit, bits wrap", one(R"("F64")", "[67108864,4294967296]", "[0,0]"), "ERR_TENSOR_OVERFLOW"},
      {"more elements than 2^53-1", one(R"("U8")", "[1073741824,1073741824]", "[0,0]"),
       "ERR_TENSOR_OVERFLOW"},
      {"[2^40,2^40,0] overflows left to right", one(R"("F32")", "[1099511627776,1099511627776,0]", "[0,0]"),
       "ERR_TENSOR_OVERFLOW"},
      {"[0,2^40,2^40] has no elements", one(R"("F32")", "[0,1099511627776,1099511627776]", "[0,0]"), ""},
      {"2^53-1 in shape of an empty tensor", one(R"("U8")", "[0,9007199254740991]", "[0,0]"), ""},
  });
}

TEST_CASE("ranges") {
  check_codes({
      {"range shorter than the shape", one(R"("F32")", "[2]", "[0,4]", 4), "ERR_TENSOR_SIZE"},
      {"range longer than the shape", one(R"("F32")", "[1]", "[0,8]", 8), "ERR_TENSOR_SIZE"},
      {"range for a tensor without elements", one(R"("F32")", "[0]", "[0,4]", 4), "ERR_TENSOR_SIZE"},
      {"odd number of 4-bit elements", one(R"("F4")", "[3]", "[0,2]", 2), "ERR_TENSOR_SIZE"},
      {"6-bit elements that do not fill bytes", one(R"("F6_E2M3")", "[2]", "[0,2]", 2), "ERR_TENSOR_SIZE"},
      {"end before begin", one(R"("U8")", "[1]", "[1,0]", 1), "ERR_TENSOR_OFFSETS"},
      {"end before begin, after another", two("[0,4]", "[4,0]", 4), "ERR_TENSOR_OFFSETS"},
      {"starts past the end", one(R"("U8")", "[4]", "[100,104]", 4), "ERR_TENSOR_OFFSETS"},
      {"first does not begin at 0", one(R"("U8")", "[4]", "[4,8]", 8), "ERR_TENSOR_OFFSETS"},
      {"hole", two("[0,4]", "[5,9]", 9), "ERR_TENSOR_OFFSETS"},
      {"overlap", two("[0,4]", "[3,7]", 7), "ERR_TENSOR_OFFSETS"},
      {"same range twice", two("[0,4]", "[0,4]", 4), "ERR_TENSOR_OFFSETS"},
      {"trailing byte", one(R"("U8")", "[4]", "[0,4]", 5), "ERR_FILE_LENGTH"},
      {"2 bytes missing", one(R"("U8")", "[4]", "[0,4]", 2), "ERR_FILE_LENGTH"},
      {"trailing bytes without tensors", file_of("{}", 1), "ERR_FILE_LENGTH"},
      {"any order", two("[4,8]", "[0,4]", 8), ""},
      {"whole bytes of 4-bit elements", one(R"("F4")", "[3,2]", "[0,3]", 3), ""},
      {"whole bytes of 6-bit elements", one(R"("F6_E3M2")", "[4]", "[0,3]", 3), ""},
  });
}

TEST_CASE("the number of tensors is capped while the text is read") {
  check_codes({
      {"one too many", tensors(kMaxTensorsPerFile + 1), "ERR_HEADER_TENSOR_COUNT"},
      {"as many as may be", tensors(kMaxTensorsPerFile), ""},
  });
}

TEST_CASE("odd files that are good") {
  check_codes({
      {"no tensors", file_of("{}"), ""},
      {"white space around", file_of(" \t\r\n{ } \n\t"), ""},
      {"rank 0", one(R"("F64")", "[]", "[0,8]", 8), ""},
      {"zero elements", one(R"("F32")", "[2,0]", "[0,0]"), ""},
  });
}

TEST_CASE("tensors come in file order with absolute positions") {
  const std::string json =
      R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[1,13]},"empty":{"dtype":"I64","shape":[0],"data_offsets":[1,1]},"a":{"data_offsets":[0,1],"shape":[],"dtype":"BOOL"}})";
  const Header header = parse(file_of(json, 13));
  REQUIRE(header.data_begin == 8 + json.size());
  REQUIRE(header.tensors.size() == 3);
  CHECK(header.tensors[0].name == "a");
  CHECK(header.tensors[0].dtype == DType::BOOL);
  CHECK(header.tensors[0].elements == 1);
  CHECK(header.tensors[1].name == "empty");
  CHECK(header.tensors[1].elements == 0);
  CHECK(header.tensors[2].name == "b");
  CHECK(header.tensors[2].shape == std::vector<uint64_t>{2, 3});
  CHECK(header.tensors[2].elements == 6);
  CHECK(header.tensors[2].begin == header.data_begin + 1);
  CHECK(header.tensors[2].end == header.data_begin + 13);
}

TEST_CASE("every dtype of the format is known by its name") {
  const std::vector<std::pair<const char*, unsigned>> dtypes = {
      {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
      {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
      {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
  };
  for (const auto& row : dtypes) {
    const std::string name = row.first;
    const unsigned bits = row.second;
    CAPTURE(name);
    const Header header = parse(one("\"" + name + "\"", "[8]", "[0," + std::to_string(bits) + "]", bits));
    CHECK(dtype_name(header.tensors.at(0).dtype) == name);
    CHECK(dtype_bits(header.tensors.at(0).dtype) == bits);
  }
}

TEST_CASE("messages name the file, the tensor and what was found") {
  const std::string message = error_message([] { parse(one(R"("F32")", "[2,3]", "[0,20]", 20)); });
  for (const char* part : {"x.safetensors", "\"w\"", "24 bytes", "F32 [2,3]", "[0,20]"}) {
    CAPTURE(message);
    CHECK(message.find(part) != std::string::npos);
  }
  // Whatever a file holds, a message stays short and cannot steer a terminal.
  const std::string hostile =
      error_message([] { parse(named("\"\\u001b[2J" + std::string(90'000, 'x') + "\"")); });
  CHECK(hostile.size() < 400);
  CHECK(hostile.find('\x1b') == std::string::npos);
  CHECK(error_message([] { parse(file_of(R"({"a" 1})")); }).find("at byte 13") != std::string::npos);
}

const std::vector<TensorLayout> kLayouts = {
    {"model.\"odd\\name\"é", DType::BF16, {2, 3}, 12},
    {"scalar", DType::F32, {}, 4},
    {"empty", DType::I64, {0, 5}, 0},
};
const Metadata kMetadata = {{"format", "pt"}, {"a\n\"key\"", "value\t\\ 😀"}};

bool same_tensor(const TensorInfo& read, const TensorLayout& written) {
  return read.name == written.name && read.dtype == written.dtype && read.shape == written.shape &&
         read.end - read.begin == written.bytes;
}

TEST_CASE("a written header reads back") {
  const std::string head = serialize_header(kLayouts, kMetadata, 8);
  const Header header = parse(head + std::string(16, '\0'));
  CHECK(header.data_begin == head.size());
  CHECK(header.metadata == Metadata{kMetadata[1], kMetadata[0]});
  REQUIRE(header.tensors.size() == kLayouts.size());
  for (size_t i = 0; i < kLayouts.size(); ++i) CHECK(same_tensor(header.tensors[i], kLayouts[i]));
}

TEST_CASE("the data begins at a multiple of the alignment") {
  for (const uint64_t alignment : {1, 8, 64, 4096}) {
    CAPTURE(alignment);
    const std::string head = serialize_header(kLayouts, kMetadata, alignment);
    CHECK(head.size() % alignment == 0);
    CHECK(parse(head + std::string(16, '\0')).tensors.size() == kLayouts.size());
  }
  CHECK(serialize_header({}, {}, 8) == length_bytes(8) + "{}      ");
}

TEST_CASE("the order of the metadata does not show in the bytes") {
  CHECK(serialize_header(kLayouts, kMetadata, 8) ==
        serialize_header(kLayouts, {kMetadata[1], kMetadata[0]}, 8));
}

TEST_CASE("a header that the format refuses is not written") {
  const Metadata huge = {{"a", std::string(kMaxHeaderBytes, 'x')}};
  CHECK(error_code([&] { serialize_header({}, huge, 8); }) == "ERR_HEADER_TOO_LARGE");
  const std::vector<TensorLayout> many(kMaxTensorsPerFile + 1, TensorLayout{"w", DType::U8, {0}, 0});
  CHECK(error_code([&] { serialize_header(many, {}, 8); }) == "ERR_HEADER_TENSOR_COUNT");
}

}  // namespace
}  // namespace branchmerge
