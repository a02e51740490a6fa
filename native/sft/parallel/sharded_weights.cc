#include "sft/parallel/sharded_weights.h"

#include <algorithm>

namespace branchmerge::sft {

ShardedWeights::ShardedWeights(const Sharding& sharding, Collectives& collectives)
    : sharding_(sharding),
      collectives_(collectives),
      values_(sharding.shards_weights() ? sharding.slices() : sharding.padded()) {
  if (sharding.shards_weights()) pool_.emplace(sharding.padded());
}

const float* ShardedWeights::acquire(size_t block) {
  if (!pool_) return values_.block(block);
  const auto [whole, kept] = pool_->take(block);
  if (kept) return whole;
  std::ranges::copy(slice(block), whole + sharding_.slice_begin(block));
  collectives_.all_gather(whole, sharding_.slice(block));
  return whole;
}

void ShardedWeights::release(size_t block) {
  if (pool_) pool_->release(block);
}

std::span<float> ShardedWeights::slice(size_t block) const {
  const uint64_t begin = sharding_.shards_weights() ? 0 : sharding_.slice_begin(block);
  return {values_.block(block) + begin, sharding_.slice(block)};
}

std::span<float> ShardedWeights::owned(size_t block) const {
  if (sharding_.shards_optimizer()) return slice(block);
  return {values_.block(block), sharding_.padded(block)};
}

void ShardedWeights::gather_slices() {
  for (size_t block = 0; block < sharding_.blocks(); block++)
    if (pool_)
      pool_->forget(block);
    else
      collectives_.all_gather(values_.block(block), sharding_.slice(block));
}

}  // namespace branchmerge::sft
