#include "safetensors/index.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "safetensors/json.h"
#include "safetensors/tensor_name.h"

namespace branchmerge {
namespace {

// The largest published index names about 100 000 tensors.
constexpr size_t kMaxIndexTensors = 1 << 20;
// NAME_MAX of the file systems in use.
constexpr size_t kMaxShardNameBytes = 255;

[[noreturn]] void fail_json(std::string_view file, const std::string& message) {
  throw Error("ERR_INDEX_JSON", std::string(file) + ": " + message);
}

/// Whether the name can only mean a file beside the index. The rule is lexical: Hugging Face's cache holds
/// shards as links to another folder, so where a name leads says nothing.
bool is_bare_file_name(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > kMaxShardNameBytes) return false;
  return name.find_first_of("/\\") == std::string_view::npos && !has_control_character(name);
}

/// Reads an index whose text is known to be JSON.
class IndexReader {
 public:
  IndexReader(std::string_view file, std::string_view text) : file_(file), reader_(text) {}

  Index read() {
    if (reader_.next() != JsonToken::kObjectBegin) fail_json(file_, "the index is not a JSON object");
    bool metadata_seen = false;
    bool weight_map_seen = false;
    while (reader_.next() == JsonToken::kKey) {
      if (reader_.text() == "metadata") {
        see_once(metadata_seen, "metadata");
        read_metadata();
      } else if (reader_.text() == "weight_map") {
        see_once(weight_map_seen, "weight_map");
        read_weight_map();
      } else {
        reader_.skip_value();
      }
    }
    if (!weight_map_seen) fail_json(file_, "expected the index to have a weight_map");
    check_duplicates();
    return std::move(index_);
  }

 private:
  void see_once(bool& seen, const std::string& key) const {
    if (seen) fail_json(file_, "the index has " + key + " twice");
    seen = true;
  }

  void read_metadata() {
    const JsonToken token = reader_.next();
    if (token == JsonToken::kNull) return;
    if (token != JsonToken::kObjectBegin) fail_json(file_, "expected metadata of the index to be an object");
    while (reader_.next() == JsonToken::kKey) {
      if (reader_.text() == "total_size") {
        read_total_size();
      } else {
        reader_.skip_value();
      }
    }
  }

  /// Stays absent where it is not an integer (some writers store 1.2e10): it is never relied on.
  void read_total_size() {
    if (reader_.next() != JsonToken::kNumber)
      fail_json(file_, "expected total_size of the index to be a number");
    const std::string_view digits = reader_.text();
    uint64_t total = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), total);
    if (result.ec == std::errc() && result.ptr == digits.data() + digits.size()) index_.total_size = total;
  }

  void read_weight_map() {
    if (reader_.next() != JsonToken::kObjectBegin) fail_json(file_, "expected weight_map to be an object");
    while (reader_.next() == JsonToken::kKey) {
      if (index_.weight_map.size() == kMaxIndexTensors) {
        fail_json(file_,
                  "expected weight_map to name at most " + std::to_string(kMaxIndexTensors) + " tensors");
      }
      check_tensor_name(file_, reader_.text());
      std::string tensor(reader_.text());
      if (reader_.next() != JsonToken::kString) {
        fail_json(file_, "expected weight_map to give " + quote_for_message(tensor) + " the name of a file");
      }
      if (!is_bare_file_name(reader_.text())) {
        throw Error("ERR_INDEX_SHARD_NAME",
                    std::string(file_) + ": expected the bare name of a file beside the index for tensor " +
                        quote_for_message(tensor) + " but received " + quote_for_message(reader_.text()));
      }
      index_.weight_map.emplace_back(std::move(tensor), reader_.text());
    }
  }

  void check_duplicates() const {
    std::vector<std::string_view> names;
    names.reserve(index_.weight_map.size());
    for (const auto& entry : index_.weight_map) names.push_back(entry.first);
    std::sort(names.begin(), names.end());
    const auto duplicate = std::adjacent_find(names.begin(), names.end());
    if (duplicate != names.end())
      fail_json(file_, "weight_map has tensor " + quote_for_message(*duplicate) + " twice");
  }

  std::string_view file_;
  JsonReader reader_;
  Index index_;
};

}  // namespace

Index parse_index(std::string_view file, std::span<const std::byte> json) {
  const std::string_view text(reinterpret_cast<const char*>(json.data()), json.size());
  if (const auto position = find_invalid_utf8(text)) {
    fail_json(file, "the index is not UTF-8 at byte " + std::to_string(*position));
  }
  try {
    check_json(text);
  } catch (const JsonError& error) {
    fail_json(file, "the index is not JSON: " + std::string(error.what()) + " at byte " +
                        std::to_string(error.position));
  }
  return IndexReader(file, text).read();
}

}  // namespace branchmerge
