#include "safetensors/read_header.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/hash.h"
#include "io/file.h"

namespace branchmerge {

HeaderFile read_header(const std::string& path) {
  const File file = File::open_for_reading(path);
  const uint64_t size = file.size();
  std::array<std::byte, 8> length_bytes{};
  const std::span<std::byte> first(length_bytes.data(), std::min<size_t>(size, length_bytes.size()));
  file.read_exactly(first, 0);
  const uint64_t length = parse_header_length(path, first, size);

  std::vector<std::byte> bytes(length_bytes.size() + length);
  std::copy(first.begin(), first.end(), bytes.begin());
  const std::span<std::byte> json = std::span(bytes).subspan(length_bytes.size());
  file.read_exactly(json, length_bytes.size());
  return HeaderFile{parse_header(path, json, size), size, xxh64(bytes)};
}

}  // namespace branchmerge
