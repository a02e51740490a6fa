#pragma once
#include <optional>
#include <span>

#include "sft/model/decoder.h"
#include "sft/parallel/block_pool.h"
#include "sft/parallel/collectives.h"
#include "sft/parallel/sharding.h"

namespace branchmerge::sft {

/// The float32 weights: whole on every process, or (stage 3) this process's slices alone, which acquire
/// gathers into a whole block. Then acquire is collective.
class ShardedWeights final : public WeightSource {
 public:
  ShardedWeights(const Sharding& sharding, Collectives& collectives);

  const float* acquire(size_t block) override;
  void release(size_t block) override;

  /// This process's slice of the block.
  std::span<float> slice(size_t block) const;
  /// What this process updates: its slice, or the whole block when the optimizer's state is whole.
  std::span<float> owned(size_t block) const;

  /// To call when every process has changed its slices: the others' slices follow. Collective.
  void gather_slices();

  bool any_held() const { return pool_ && pool_->any_held(); }
  uint64_t bytes() const { return values_.bytes(); }
  uint64_t gathered_bytes() const { return pool_ ? pool_->bytes() : 0; }

 private:
  const Sharding& sharding_;
  Collectives& collectives_;
  BlockArray values_;
  std::optional<BlockPool> pool_;
};

}  // namespace branchmerge::sft
