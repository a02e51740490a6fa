#include "sft/parallel/store_memory.h"

#include "sft/parallel/block_pool.h"
#include "sft/parallel/sharding.h"

namespace branchmerge::sft {

StoreMemory store_memory(const ParameterLayout& layout, int zero_stage, size_t processes) {
  const Sharding sharding(layout.block_floats, zero_stage, 0, processes);
  const uint64_t whole = BlockArray::bytes_of(sharding.padded());
  const uint64_t sliced = BlockArray::bytes_of(sharding.slices());
  const uint64_t pool = BlockPool::bytes_of(sharding.padded());
  return {.weights = sharding.shards_weights() ? sliced : whole,
          .gathered_weights = sharding.shards_weights() ? pool : 0,
          .gradients = sharding.shards_gradients() ? sliced : whole,
          .gradient_buffers = sharding.shards_gradients() ? pool : 0,
          .optimizer_state = 2 * (sharding.shards_optimizer() ? sliced : whole)};
}

}  // namespace branchmerge::sft
