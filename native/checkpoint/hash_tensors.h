#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/read_header.h"

namespace branchmerge {

/// Hashes of the tensors of a file as it lies there (PlacedHash), in the order of its header. Reads the file
/// once. Throws Error: ERR_FILE_READ, ERR_FILE_CHANGED, ERR_CANCELLED.
std::vector<uint64_t> hash_tensors(const std::string& path, const HeaderFile& file, size_t threads,
                                   const std::atomic<bool>& cancelled);

}  // namespace branchmerge
