#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "safetensors/read_header.h"

namespace branchmerge {

/// Hashes of the tensors of a file as it lies there (PlacedHash), in the order of its header. Reads the file
/// once. Throws Error: ERR_FILE_READ, ERR_FILE_CHANGED, ERR_CANCELLED.
std::vector<uint64_t> hash_tensors(const std::string& path, const HeaderFile& file, size_t threads,
                                   const std::atomic<bool>& cancelled);

/// Bytes [begin, end) of a file.
struct FileRange {
  uint64_t begin, end;
};

/// Hashes of stretches of a file as a merge has those of its inputs: the pieces are cut from each one's first
/// byte, wherever it lies. Throws as hash_tensors().
std::vector<uint64_t> hash_ranges(const std::string& path, std::span<const FileRange> ranges, size_t threads,
                                  const std::atomic<bool>& cancelled);

}  // namespace branchmerge
