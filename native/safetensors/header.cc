#include "safetensors/header.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/error.h"
#include "safetensors/json.h"
#include "safetensors/tensor_name.h"

namespace branchmerge {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr size_t kLengthBytes = 8;

// JavaScript holds sizes and offsets as doubles, which are exact up to here.
constexpr uint64_t kMaxExactInteger = (uint64_t{1} << 53) - 1;
// PyTorch and NumPy stop at 64 dimensions. Without a bound one tensor could fill the header with dimensions.
constexpr size_t kMaxRank = 64;
// Writers store a handful of entries. A header of 100 MB could hold ten million, at ten times its size in
// memory.
constexpr size_t kMaxMetadataEntries = 65'536;

[[noreturn]] void fail(const char* code, std::string_view file, const std::string& message) {
  throw Error(code, std::string(file) + ": " + message);
}

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ",";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

/// The first of two equal strings, by sorting: a hash table could be flooded by a crafted file.
template <typename Item, typename KeyOf>
const std::string* find_duplicate(const std::vector<Item>& items, KeyOf key_of) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return key_of(items[a]) < key_of(items[b]); });
  const auto duplicate = std::adjacent_find(
      order.begin(), order.end(), [&](size_t a, size_t b) { return key_of(items[a]) == key_of(items[b]); });
  return duplicate == order.end() ? nullptr : &key_of(items[*duplicate]);
}

/// Reads the entries of a header whose text is known to be JSON. Positions are still relative to the data.
class EntryReader {
 public:
  EntryReader(std::string_view file, std::string_view text) : file_(file), reader_(text) {}

  Header read() {
    if (reader_.next() != JsonToken::kObjectBegin)
      fail("ERR_HEADER_JSON", file_, "the header is not a JSON object");
    while (reader_.next() == JsonToken::kKey) {
      if (reader_.text() == kMetadataKey) {
        read_metadata();
      } else {
        read_tensor();
      }
    }
    check_duplicates();
    return std::move(header_);
  }

 private:
  enum Field : unsigned { kDType = 1, kShape = 2, kDataOffsets = 4, kAllFields = 7 };

  void read_metadata() {
    if (metadata_seen_) fail("ERR_HEADER_DUPLICATE", file_, "the header has __metadata__ twice");
    metadata_seen_ = true;
    const JsonToken token = reader_.next();
    if (token == JsonToken::kNull) return;
    if (token != JsonToken::kObjectBegin) fail_metadata("an object or null");
    while (reader_.next() == JsonToken::kKey) {
      if (header_.metadata.size() == kMaxMetadataEntries) {
        fail_metadata("at most " + std::to_string(kMaxMetadataEntries) + " entries");
      }
      std::string key(reader_.text());
      if (reader_.next() != JsonToken::kString)
        fail_metadata("a string as the value of " + quote_for_message(key));
      header_.metadata.emplace_back(std::move(key), reader_.text());
    }
  }

  void read_tensor() {
    if (header_.tensors.size() == kMaxTensorsPerFile) {
      fail("ERR_HEADER_TENSOR_COUNT", file_,
           "expected at most " + std::to_string(kMaxTensorsPerFile) +
               " tensors in one file but the header has more");
    }
    check_tensor_name(file_, reader_.text());
    TensorInfo& tensor = header_.tensors.emplace_back();
    tensor.name = reader_.text();
    if (reader_.next() != JsonToken::kObjectBegin) fail_entry("an object");
    unsigned seen = 0;
    while (reader_.next() == JsonToken::kKey) {
      const Field field = field_from_key();
      if (seen & field) {
        fail("ERR_HEADER_DUPLICATE", file_,
             "tensor " + quote_for_message(tensor.name) + " has " + quote_for_message(reader_.text()) +
                 " twice");
      }
      seen |= field;
      read_field(field);
    }
    if (seen != kAllFields) fail_entry("the fields dtype, shape and data_offsets");
  }

  Field field_from_key() {
    if (reader_.text() == "dtype") return kDType;
    if (reader_.text() == "shape") return kShape;
    if (reader_.text() == "data_offsets") return kDataOffsets;
    fail_entry("only the fields dtype, shape and data_offsets but received " +
               quote_for_message(reader_.text()));
  }

  void read_field(Field field) {
    if (field == kDType) return read_dtype();
    if (field == kShape) return read_shape();
    read_data_offsets();
  }

  void read_dtype() {
    if (reader_.next() != JsonToken::kString) fail_entry("a string as dtype");
    const auto dtype = dtype_from_name(reader_.text());
    if (!dtype) {
      fail("ERR_TENSOR_DTYPE", file_,
           "expected a dtype of the safetensors format, such as BF16, for tensor " +
               quote_for_message(name()) + " but received " + quote_for_message(reader_.text()));
    }
    header_.tensors.back().dtype = *dtype;
  }

  void read_shape() {
    std::vector<uint64_t>& shape = header_.tensors.back().shape;
    if (reader_.next() != JsonToken::kArrayBegin) fail_entry("an array as shape");
    for (JsonToken token = reader_.next(); token != JsonToken::kArrayEnd; token = reader_.next()) {
      if (shape.size() == kMaxRank) fail_entry("at most " + std::to_string(kMaxRank) + " dimensions");
      shape.push_back(integer(token, "shape"));
    }
  }

  void read_data_offsets() {
    const std::string expected = "an array of two integers as data_offsets";
    if (reader_.next() != JsonToken::kArrayBegin) fail_entry(expected);
    for (uint64_t TensorInfo::*offset : {&TensorInfo::begin, &TensorInfo::end}) {
      const JsonToken token = reader_.next();
      if (token == JsonToken::kArrayEnd) fail_entry(expected);
      header_.tensors.back().*offset = integer(token, "data_offsets");
    }
    if (reader_.next() != JsonToken::kArrayEnd) fail_entry(expected);
  }

  /// The token just read as an integer in plain digits: -0, 1.0 and 1e3 are not.
  uint64_t integer(JsonToken token, const std::string& field) {
    if (token != JsonToken::kNumber) fail_entry("non-negative integers in " + field);
    const std::string_view digits = reader_.text();
    if (digits.find_first_not_of("0123456789") != std::string_view::npos) {
      fail_entry("non-negative integers in " + field + " but received " + quote_for_message(digits));
    }
    uint64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (result.ec != std::errc() || value > kMaxExactInteger) {
      fail("ERR_TENSOR_OVERFLOW", file_,
           "expected " + field + " of tensor " + quote_for_message(name()) + " to be at most " +
               std::to_string(kMaxExactInteger) + " but received " + quote_for_message(digits));
    }
    return value;
  }

  void check_duplicates() const {
    const std::string* tensor = find_duplicate(
        header_.tensors, [](const TensorInfo& item) -> const std::string& { return item.name; });
    if (tensor)
      fail("ERR_HEADER_DUPLICATE", file_, "the header has tensor " + quote_for_message(*tensor) + " twice");
    const std::string* key = find_duplicate(
        header_.metadata, [](const Metadata::value_type& item) -> const std::string& { return item.first; });
    if (key) fail("ERR_HEADER_DUPLICATE", file_, "__metadata__ has " + quote_for_message(*key) + " twice");
  }

  const std::string& name() const { return header_.tensors.back().name; }

  [[noreturn]] void fail_entry(const std::string& expected) const {
    fail("ERR_TENSOR_ENTRY", file_,
         "expected " + expected + " in the entry of tensor " + quote_for_message(name()));
  }

  [[noreturn]] void fail_metadata(const std::string& expected) const {
    fail("ERR_HEADER_METADATA", file_, "expected __metadata__ to hold strings: " + expected);
  }

  std::string_view file_;
  JsonReader reader_;
  Header header_{};
  bool metadata_seen_ = false;
};

/// Bytes of a tensor, multiplied left to right as the format's reference does: [0, 2^40, 2^40] has none, but
/// [2^40, 2^40, 0] overflows.
uint64_t tensor_bytes(std::string_view file, const TensorInfo& tensor, uint64_t* elements) {
  uint64_t product = 1;
  uint64_t bits = 0;
  bool overflow = false;
  for (const uint64_t dimension : tensor.shape) {
    overflow = overflow || __builtin_mul_overflow(product, dimension, &product);
  }
  overflow = overflow || __builtin_mul_overflow(product, uint64_t{dtype_bits(tensor.dtype)}, &bits);
  if (overflow || product > kMaxExactInteger) {
    fail("ERR_TENSOR_OVERFLOW", file,
         "the size of tensor " + quote_for_message(tensor.name) +
             " overflows: " + std::string(dtype_name(tensor.dtype)) + " " + shape_text(tensor.shape));
  }
  if (bits % 8 != 0) {
    fail("ERR_TENSOR_SIZE", file,
         "expected tensor " + quote_for_message(tensor.name) + " to fill whole bytes but received " +
             std::to_string(product) + " elements of " + std::string(dtype_name(tensor.dtype)));
  }
  *elements = product;
  return bits / 8;
}

/// Sorts the tensors by position, checks that each begins where the one before ends and is as long as its
/// shape says, and makes the positions absolute.
void lay_out_tensors(std::string_view file, Header& header) {
  // Stable, so that tensors without bytes at the same place keep the order of the text.
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const TensorInfo& a, const TensorInfo& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  uint64_t previous_end = 0;
  for (TensorInfo& tensor : header.tensors) {
    const std::string offsets = "[" + std::to_string(tensor.begin) + "," + std::to_string(tensor.end) + "]";
    if (tensor.begin != previous_end || tensor.end < tensor.begin) {
      fail("ERR_TENSOR_OFFSETS", file,
           "expected data_offsets of tensor " + quote_for_message(tensor.name) + " to begin at " +
               std::to_string(previous_end) + ", where the tensor before it ends, but received " + offsets);
    }
    const uint64_t bytes = tensor_bytes(file, tensor, &tensor.elements);
    if (tensor.end - tensor.begin != bytes) {
      fail("ERR_TENSOR_SIZE", file,
           "expected " + std::to_string(bytes) + " bytes for tensor " + quote_for_message(tensor.name) +
               " (" + std::string(dtype_name(tensor.dtype)) + " " + shape_text(tensor.shape) +
               ") but received data_offsets " + offsets);
    }
    previous_end = tensor.end;
    tensor.begin += header.data_begin;
    tensor.end += header.data_begin;
  }
}

void append_entry(std::string& json, const TensorLayout& tensor, uint64_t begin) {
  append_json_string(json, tensor.name);
  json += ":{\"dtype\":\"";
  json += dtype_name(tensor.dtype);
  json += "\",\"shape\":";
  json += shape_text(tensor.shape);
  json += ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + tensor.bytes) + "]}";
}

void append_metadata(std::string& json, Metadata metadata) {
  std::sort(metadata.begin(), metadata.end());
  append_json_string(json, kMetadataKey);
  json += ":{";
  for (size_t i = 0; i < metadata.size(); ++i) {
    if (i > 0) json += ",";
    append_json_string(json, metadata[i].first);
    json += ":";
    append_json_string(json, metadata[i].second);
  }
  json += "}";
}

}  // namespace

uint64_t parse_header_length(std::string_view file, std::span<const std::byte> first_bytes,
                             uint64_t file_size) {
  if (file_size < kLengthBytes || first_bytes.size() < kLengthBytes) {
    fail("ERR_HEADER_TOO_SMALL", file,
         "expected a safetensors file of at least 8 bytes but it has " + std::to_string(file_size));
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(first_bytes[i]) << (8 * i);
  if (length > kMaxHeaderBytes) {
    fail("ERR_HEADER_TOO_LARGE", file,
         "expected a header of at most " + std::to_string(kMaxHeaderBytes) +
             " bytes but its first 8 bytes say " + std::to_string(length) + ". Is this a safetensors file?");
  }
  if (length > file_size - kLengthBytes) {
    fail("ERR_HEADER_LENGTH", file,
         "the header ends at byte " + std::to_string(kLengthBytes + length) + " but the file at " +
             std::to_string(file_size) + ". Is the file complete?");
  }
  return length;
}

Header parse_header(std::string_view file, std::span<const std::byte> json, uint64_t file_size) {
  const std::string_view text(reinterpret_cast<const char*>(json.data()), json.size());
  if (const auto position = find_invalid_utf8(text)) {
    fail("ERR_HEADER_UTF8", file,
         "the header is not UTF-8 at byte " + std::to_string(kLengthBytes + *position));
  }
  try {
    check_json(text);
  } catch (const JsonError& error) {
    fail("ERR_HEADER_JSON", file,
         "the header is not JSON: " + std::string(error.what()) + " at byte " +
             std::to_string(kLengthBytes + error.position));
  }
  Header header = EntryReader(file, text).read();
  header.data_begin = kLengthBytes + json.size();
  lay_out_tensors(file, header);
  const uint64_t end = header.tensors.empty() ? header.data_begin : header.tensors.back().end;
  if (end != file_size) {
    fail("ERR_FILE_LENGTH", file,
         "expected a file of " + std::to_string(end) + " bytes, as its header says, but it has " +
             std::to_string(file_size) + (file_size < end ? ". Is the file complete?" : ""));
  }
  return header;
}

std::string serialize_header(std::span<const TensorLayout> tensors, const Metadata& metadata,
                             uint64_t alignment) {
  if (tensors.size() > kMaxTensorsPerFile) {
    throw Error("ERR_HEADER_TENSOR_COUNT", "expected at most " + std::to_string(kMaxTensorsPerFile) +
                                               " tensors for one file but received " +
                                               std::to_string(tensors.size()) + ": write smaller shards");
  }
  std::string json = "{";
  if (!metadata.empty()) append_metadata(json, metadata);
  uint64_t begin = 0;
  for (const TensorLayout& tensor : tensors) {
    if (json.size() > 1) json += ",";
    append_entry(json, tensor, begin);
    begin += tensor.bytes;
  }
  json += "}";
  const uint64_t unpadded = kLengthBytes + json.size();
  json.append((alignment - unpadded % alignment) % alignment, ' ');
  if (json.size() > kMaxHeaderBytes) {
    throw Error("ERR_HEADER_TOO_LARGE", "expected a header of at most " + std::to_string(kMaxHeaderBytes) +
                                            " bytes but the tensors of one file need " +
                                            std::to_string(json.size()) + ": write smaller shards");
  }
  std::string bytes;
  bytes.reserve(kLengthBytes + json.size());
  for (size_t i = 0; i < kLengthBytes; ++i) bytes.push_back(static_cast<char>(json.size() >> (8 * i)));
  return bytes + json;
}

}  // namespace branchmerge
