#pragma once
#include <optional>
#include <vector>

#include "io/input_files.h"

namespace branchmerge {

/// Bytes a second that the storage of some inputs gives, measured in about a tenth of a second on at most
/// 64 MiB of `reads`: an equal part of each, one after the other, and the ranges of one together, as
/// ReadAhead reads its groups. The page cache stays as it is: an input without direct I/O is read where none
/// of it is in the cache, and what came into it is dropped. Nothing when there is nothing to read. Throws
/// ERR_FILE_READ, ERR_FILE_CHANGED.
std::optional<double> measure_reads(InputFiles& inputs, const std::vector<std::vector<ByteRange>>& reads);

}  // namespace branchmerge
