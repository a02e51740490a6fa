#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/dtype.h"

namespace branchmerge {

/// One tensor of a safetensors file. `begin` and `end` are absolute byte positions in the file.
struct TensorInfo {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  uint64_t elements;
  uint64_t begin;
  uint64_t end;
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

/// A validated safetensors header: tensors in file order, contiguous, without holes or overlaps, and
/// ending exactly where the file ends.
struct Header {
  uint64_t data_begin;  // 8 + length of the JSON text
  std::vector<TensorInfo> tensors;
  Metadata metadata;
};

inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
inline constexpr size_t kMaxTensorsPerFile = 262'144;     // a crafted header of 100 MB could name 2 million

/// Parses and validates the JSON text of a header. `file` is used in messages only.
/// Throws Error with one of the ERR_HEADER_*, ERR_TENSOR_* or ERR_FILE_LENGTH codes.
Header parse_header(std::string_view file, std::span<const std::byte> json, uint64_t file_size);

/// The first 8 bytes: length of the JSON text, checked against the format's limit and the file's size.
uint64_t parse_header_length(std::string_view file, std::span<const std::byte> first_bytes,
                             uint64_t file_size);

struct TensorLayout {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  uint64_t bytes;
};

/// The first bytes of a file that holds these tensors one after the other: 8 bytes of length and the
/// JSON text, padded with spaces so that the data begins at a multiple of `alignment` (bytes, at least 1).
/// Metadata is sorted by key. Throws ERR_HEADER_TENSOR_COUNT or ERR_HEADER_TOO_LARGE for what parse_header
/// would refuse.
std::string serialize_header(std::span<const TensorLayout> tensors, const Metadata& metadata,
                             uint64_t alignment);

}  // namespace branchmerge
