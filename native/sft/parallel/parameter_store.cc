#include "sft/parallel/parameter_store.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "sft/optimizer/gradient_norm.h"

namespace branchmerge::sft {

ParameterStore::ParameterStore(const ParameterLayout& layout, int zero_stage, Collectives& collectives,
                               WorkerPool& workers)
    : layout_(layout),
      collectives_(collectives),
      workers_(workers),
      sharding_(layout.block_floats, zero_stage, collectives.rank(), collectives.size()),
      weights_(sharding_, collectives),
      gradients_(sharding_, collectives, workers),
      first_moments_(sharding_.shards_optimizer() ? sharding_.slices() : sharding_.padded()),
      second_moments_(sharding_.shards_optimizer() ? sharding_.slices() : sharding_.padded()),
      stretches_(cut_stretches()),
      partial_sums_(stretches_.size()) {}

UpdateResult ParameterStore::update(const UpdateOptions& options) {
  if (weights_.any_held() || gradients_.any_held())
    throw Error("ERR_INTERNAL", "A block is held while the optimizer updates the weights");
  gradients_.reduce();

  // A process that is not the only one to have these gradients leaves them to rank 0.
  const bool counts = sharding_.shards_optimizer() || sharding_.rank() == 0;
  double totals[] = {counts ? owned_sum_of_squares() : 0, options.loss_is_finite ? 0.0 : 1.0};
  collectives_.all_reduce_sum(std::span(totals));
  const double norm = std::sqrt(totals[0]);
  const bool skipped = !std::isfinite(norm) || totals[1] > 0;
  if (!skipped) {
    apply(options.adam, options.learning_rate,
          options.max_gradient_norm ? clipping_scale(norm, *options.max_gradient_norm) : 1);
    if (sharding_.shards_optimizer()) weights_.gather_slices();
  }
  gradients_.clear();
  return {.gradient_norm = norm, .skipped = skipped};
}

WeightSlice ParameterStore::weight_slice(size_t block) const {
  return {.begin = sharding_.slice_begin(block), .values = weights_.slice(block)};
}

void ParameterStore::share_weights() { weights_.gather_slices(); }

std::vector<StatePiece> ParameterStore::state() const {
  std::vector<StatePiece> pieces;
  for (const Parameter& parameter : layout_.parameters)
    if (const auto piece = state_of(parameter)) pieces.push_back(*piece);
  return pieces;
}

void ParameterStore::share_state(uint64_t updates) {
  updates_ = updates;
  weights_.gather_slices();
  if (sharding_.shards_optimizer()) return;
  for (size_t block = 0; block < sharding_.blocks(); block++) {
    collectives_.all_gather(first_moments_.block(block), sharding_.slice(block));
    collectives_.all_gather(second_moments_.block(block), sharding_.slice(block));
  }
}

StoreMemory ParameterStore::memory() const {
  return {.weights = weights_.bytes(),
          .gathered_weights = weights_.gathered_bytes(),
          .gradients = gradients_.bytes(),
          .gradient_buffers = gradients_.buffer_bytes(),
          .optimizer_state = first_moments_.bytes() + second_moments_.bytes()};
}

/// Cuts what this process owns at the ends of parameters and after kStretch elements.
std::vector<ParameterStore::Stretch> ParameterStore::cut_stretches() const {
  // Four arrays of 64 KiB each fit a second-level cache, and a task is far longer than its handing out.
  constexpr uint64_t kStretch = 1 << 14;
  std::vector<Stretch> stretches;
  for (const Parameter& parameter : layout_.parameters) {
    const size_t block = parameter.block;
    const uint64_t owned_begin = sharding_.shards_optimizer() ? sharding_.slice_begin(block) : 0;
    const uint64_t owned_end = owned_begin + weights_.owned(block).size();
    const uint64_t begin = std::max<uint64_t>(parameter.offset, owned_begin);
    const uint64_t end = std::min<uint64_t>(parameter.offset + parameter.elements(), owned_end);
    for (uint64_t at = begin; at < end; at += kStretch)
      stretches.push_back({block, at - owned_begin, std::min(kStretch, end - at), parameter.is_matrix});
  }
  return stretches;
}

std::optional<StatePiece> ParameterStore::state_of(const Parameter& parameter) const {
  const size_t block = parameter.block;
  const uint64_t slice_begin = sharding_.slice_begin(block);
  const uint64_t begin = std::max<uint64_t>(parameter.offset, slice_begin);
  const uint64_t end =
      std::min<uint64_t>(parameter.offset + parameter.elements(), slice_begin + sharding_.slice(block));
  if (begin >= end) return std::nullopt;
  const uint64_t at = begin - slice_begin;
  const uint64_t moment = sharding_.shards_optimizer() ? at : begin;
  return StatePiece{.parameter = &parameter,
                    .offset = begin - parameter.offset,
                    .count = end - begin,
                    .weight = weights_.slice(block).data() + at,
                    .first_moment = first_moments_.block(block) + moment,
                    .second_moment = second_moments_.block(block) + moment};
}

double ParameterStore::owned_sum_of_squares() {
  workers_.for_each(stretches_.size(), [&](size_t, size_t index) {
    const Stretch& stretch = stretches_[index];
    partial_sums_[index] =
        sum_of_squares(gradients_.owned(stretch.block).data() + stretch.begin, stretch.count);
  });
  return std::accumulate(partial_sums_.begin(), partial_sums_.end(), 0.0);
}

void ParameterStore::apply(const AdamWOptions& options, double learning_rate, double gradient_scale) {
  updates_++;
  const AdamWFactors decayed = adamw_factors(options, learning_rate, gradient_scale, updates_);
  AdamWFactors others = decayed;
  if (options.decay == Decay::kMatrices) others.weight_decay = 0;
  workers_.for_each(stretches_.size(), [&](size_t, size_t index) {
    const auto& [block, begin, count, is_matrix] = stretches_[index];
    adamw_update(is_matrix ? decayed : others, count, gradients_.owned(block).data() + begin,
                 weights_.owned(block).data() + begin, first_moments_.block(block) + begin,
                 second_moments_.block(block) + begin);
  });
}

}  // namespace branchmerge::sft
