#pragma once
#include <optional>
#include <span>

#include "base/worker_pool.h"
#include "sft/model/decoder.h"
#include "sft/parallel/block_pool.h"
#include "sft/parallel/collectives.h"
#include "sft/parallel/sharding.h"

namespace branchmerge::sft {

/// The float32 sums of the gradients of one step over its micro-batches and, after reduce, over the
/// processes. They are whole on every process; or (stages 2 and 3) a block is whole only while the decoder
/// adds to it, release sums it over the processes, and this process keeps its slice. Then release is
/// collective.
class ShardedGradients final : public GradientSink {
 public:
  ShardedGradients(const Sharding& sharding, Collectives& collectives, WorkerPool& workers);

  float* acquire(size_t block) override;
  void release(size_t block) override;

  /// After the last micro-batch: owned(…) becomes the sum over the processes. Collective.
  void reduce();

  /// What belongs to this process: its slice, or the whole block when the optimizer's state is whole.
  std::span<float> owned(size_t block) const;

  /// Makes all sums zero.
  void clear();

  bool any_held() const { return pool_ && pool_->any_held(); }
  uint64_t bytes() const { return sums_.bytes(); }
  uint64_t buffer_bytes() const { return pool_ ? pool_->bytes() : 0; }

 private:
  const Sharding& sharding_;
  Collectives& collectives_;
  WorkerPool& workers_;
  BlockArray sums_;
  std::optional<BlockPool> pool_;
};

}  // namespace branchmerge::sft
