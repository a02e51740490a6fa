#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace branchmerge {

/// `model.safetensors.index.json`.
struct Index {
  std::vector<std::pair<std::string, std::string>> weight_map;  // tensor name, shard file name
  std::optional<uint64_t> total_size;                           // as the file says; often wrong in the wild
};

/// Strict parse: weight_map is an object of strings without duplicate keys (ERR_INDEX_JSON), every file is a
/// bare name that cannot leave the directory (ERR_INDEX_SHARD_NAME),
/// and tensor names are ones a header may have (ERR_TENSOR_NAME). `file` is used in messages only.
Index parse_index(std::string_view file, std::span<const std::byte> json);

}  // namespace branchmerge
