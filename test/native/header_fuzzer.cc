#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "safetensors/header.h"

namespace branchmerge {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

Header parse_file(std::span<const std::byte> bytes, uint64_t file_size) {
  const uint64_t length = parse_header_length("fuzz", bytes, file_size);
  return parse_header("fuzz", bytes.subspan(8, length), file_size);
}

/// What parse_header promises of any header it returns.
void check_promises(const Header& header, uint64_t file_size) {
  uint64_t position = header.data_begin;
  for (const TensorInfo& tensor : header.tensors) {
    require(tensor.begin == position && tensor.end >= tensor.begin);
    require((tensor.end - tensor.begin) * 8 == tensor.elements * dtype_bits(tensor.dtype));
    position = tensor.end;
  }
  require(position == file_size);
}

/// Written again and read again, the header says the same.
void check_round_trip(const Header& header) {
  std::vector<TensorLayout> layouts;
  uint64_t data_bytes = 0;
  for (const TensorInfo& tensor : header.tensors) {
    layouts.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.end - tensor.begin});
    data_bytes += tensor.end - tensor.begin;
  }
  const std::string head = serialize_header(layouts, header.metadata, 8);
  const Header again = parse_file(std::as_bytes(std::span(head)), head.size() + data_bytes);
  require(again.tensors.size() == header.tensors.size());
  for (size_t i = 0; i < again.tensors.size(); ++i) {
    const TensorInfo& before = header.tensors[i];
    const TensorInfo& after = again.tensors[i];
    require(before.name == after.name && before.dtype == after.dtype && before.shape == after.shape);
    require(before.begin - header.data_begin == after.begin - again.data_begin);
    require(before.end - header.data_begin == after.end - again.data_begin);
  }
  Metadata sorted = header.metadata;
  std::sort(sorted.begin(), sorted.end());
  require(again.metadata == sorted);
}

}  // namespace
}  // namespace branchmerge

// NOLINTBEGIN(readability-identifier-naming): libFuzzer gives these names

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

/// Mutates a file and, three times in four, makes its length field end the header at the last '}': otherwise
/// nearly every mutation would stop at the length.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 == 0 || size < 8) return size;
  uint64_t length = size - 8;
  while (length > 0 && data[8 + length - 1] != '}') --length;
  for (int i = 0; i < 8; ++i) data[i] = static_cast<uint8_t>(length >> (8 * i));
  return size;
}

/// The input is a whole file; a header either throws Error or keeps its promises and survives a round trip.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  branchmerge::Header header;
  try {
    header = branchmerge::parse_file(bytes, size);
  } catch (const branchmerge::Error&) {
    return 0;
  }
  branchmerge::check_promises(header, size);
  branchmerge::check_round_trip(header);
  return 0;
}

// NOLINTEND(readability-identifier-naming)
