#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sft/model/decoder.h"

namespace branchmerge::sft {

/// What the host finds out about a batch before the passes.
struct BatchRows {
  std::vector<uint32_t> trained_rows, trained_targets;             // rows with a target, ascending
  std::vector<uint32_t> group_indices, group_starts, group_order;  // rows by token id: see RowGroups

  /// ERR_INVALID_ARGUMENT when the batch is not what Batch says or has more than max_tokens tokens.
  BatchRows(const Batch& batch, size_t vocabulary_size, size_t max_tokens);
};

}  // namespace branchmerge::sft
