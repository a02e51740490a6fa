#include "sft/parallel/sharded_gradients.h"

#include <algorithm>

namespace branchmerge::sft {
namespace {

/// Calls body(begin, count) for stretches of [0, floats), shared by the workers.
template <class Body>
void for_stretches(WorkerPool& workers, uint64_t floats, const Body& body) {
  constexpr uint64_t kStretch = 1 << 16;
  workers.for_each((floats + kStretch - 1) / kStretch, [&](size_t, size_t index) {
    const uint64_t begin = index * kStretch;
    body(begin, std::min(kStretch, floats - begin));
  });
}

void fill_zero(WorkerPool& workers, float* data, uint64_t floats) {
  for_stretches(workers, floats,
                [&](uint64_t begin, uint64_t count) { std::fill_n(data + begin, count, 0.0F); });
}

}  // namespace

ShardedGradients::ShardedGradients(const Sharding& sharding, Collectives& collectives, WorkerPool& workers)
    : sharding_(sharding),
      collectives_(collectives),
      workers_(workers),
      sums_(sharding.shards_gradients() ? sharding.slices() : sharding.padded()) {
  if (sharding.shards_gradients()) pool_.emplace(sharding.padded());
}

float* ShardedGradients::acquire(size_t block) {
  if (!pool_) return sums_.block(block);
  const auto [whole, held] = pool_->take(block);
  if (!held) fill_zero(workers_, whole, sharding_.padded(block));
  return whole;
}

void ShardedGradients::release(size_t block) {
  if (!pool_) return;
  float* const whole = pool_->release(block);
  if (!whole) return;
  pool_->forget(block);  // the next micro-batch begins with zeros
  collectives_.reduce_scatter_sum(whole, sharding_.slice(block));
  const float* const contribution = whole + sharding_.slice_begin(block);
  float* const sum = sums_.block(block);
  for_stretches(workers_, sharding_.slice(block), [&](uint64_t begin, uint64_t count) {
    for (uint64_t i = begin; i < begin + count; i++) sum[i] += contribution[i];
  });
}

void ShardedGradients::reduce() {
  if (sharding_.shards_gradients()) return;
  for (size_t block = 0; block < sharding_.blocks(); block++)
    if (sharding_.shards_optimizer())
      collectives_.reduce_scatter_sum(sums_.block(block), sharding_.slice(block));
    else
      collectives_.all_reduce_sum(std::span(sums_.block(block), sharding_.padded(block)));
}

std::span<float> ShardedGradients::owned(size_t block) const {
  if (sharding_.shards_gradients()) return {sums_.block(block), sharding_.slice(block)};
  if (sharding_.shards_optimizer())
    return {sums_.block(block) + sharding_.slice_begin(block), sharding_.slice(block)};
  return {sums_.block(block), sharding_.padded(block)};
}

void ShardedGradients::clear() { fill_zero(workers_, sums_.data(), sums_.floats()); }

}  // namespace branchmerge::sft
