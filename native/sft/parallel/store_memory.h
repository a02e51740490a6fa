#pragma once
#include <cstddef>
#include <cstdint>

#include "sft/model/parameters.h"

namespace branchmerge::sft {

/// Bytes that a ParameterStore allocates on one process, by what they are for.
struct StoreMemory {
  uint64_t weights = 0;           ///< float32 master weights
  uint64_t gathered_weights = 0;  ///< blocks that are whole for a while (stage 3)
  uint64_t gradients = 0;         ///< float32 sums
  uint64_t gradient_buffers =
      0;                         ///< blocks that the decoder adds to before they are sharded (stages 2 and 3)
  uint64_t optimizer_state = 0;  ///< first and second moments

  uint64_t total() const {
    return weights + gathered_weights + gradients + gradient_buffers + optimizer_state;
  }
  bool operator==(const StoreMemory&) const = default;
};

/// What a store of this layout, stage and number of processes will allocate, exactly; the same on every
/// process.
StoreMemory store_memory(const ParameterLayout& layout, int zero_stage, size_t processes);

}  // namespace branchmerge::sft
