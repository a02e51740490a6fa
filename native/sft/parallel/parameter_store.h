#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/worker_pool.h"
#include "sft/model/decoder.h"
#include "sft/model/parameters.h"
#include "sft/optimizer/adamw.h"
#include "sft/parallel/collectives.h"
#include "sft/parallel/sharded_gradients.h"
#include "sft/parallel/sharded_weights.h"
#include "sft/parallel/sharding.h"
#include "sft/parallel/store_memory.h"

namespace branchmerge::sft {

/// Consecutive elements of one parameter that this process keeps the state of. The pointers stay valid as
/// long as the store.
struct StatePiece {
  const Parameter* parameter;
  uint64_t offset;  ///< of the first element in the whole parameter
  uint64_t count;
  float *weight, *first_moment, *second_moment;
};

/// This process's slice of a block: `values` begins at float `begin` of the block and may reach beyond its
/// end, where it is padding.
struct WeightSlice {
  uint64_t begin;
  std::span<float> values;
};

struct UpdateOptions {
  AdamWOptions adam;
  double learning_rate;
  std::optional<double>
      max_gradient_norm;       ///< gradients are scaled down to it; none: they are taken as they are
  bool loss_is_finite = true;  ///< on this process; if not on one, the update is skipped on all
};

struct UpdateResult {
  double gradient_norm;  ///< of all gradients, before clipping; not finite when one of them is not
  bool skipped;          ///< weights, moments and the number of updates are as before
};

/// Weights, gradients and optimizer state of a model on one process of a run, sharded by a ZeRO stage. The
/// weights are float32 and both what the decoder computes with and what the optimizer updates.
///
/// All processes call the same functions in the same order, weights() and gradients() included. Results have
/// the same bytes whenever layout, stage and number of processes are the same; threads do not matter.
class ParameterStore {
 public:
  /// Allocates store_memory(…), all zero. `zero_stage` is 0 … 3. Throws ERR_INVALID_ARGUMENT,
  /// ERR_OUT_OF_MEMORY.
  ParameterStore(const ParameterLayout& layout, int zero_stage, Collectives& collectives,
                 WorkerPool& workers);
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  const ParameterLayout& layout() const { return layout_; }

  WeightSource& weights() { return weights_; }
  /// Every micro-batch of a step adds into these; their sum over micro-batches and processes is the gradient.
  GradientSink& gradients() { return gradients_; }

  /// Sums the gradients over the processes, clips them, makes one update of AdamW, and clears them. When a
  /// gradient is not finite, or a loss, only clears them. No block may be held. Collective.
  UpdateResult update(const UpdateOptions& options);

  /// How many updates were made, skipped ones not counted.
  uint64_t updates() const { return updates_; }

  /// Where this process's weights of the block go when they are read from a checkpoint; then share_weights().
  WeightSlice weight_slice(size_t block) const;
  /// To call when every process has filled its slices. Collective.
  void share_weights();

  /// The state that this process saves: what lies in its slices, at most one piece of a parameter. The pieces
  /// of all processes are the whole state, each element once, at every stage.
  std::vector<StatePiece> state() const;
  /// To call when every process has filled the pieces of state() with those of a run that had made `updates`
  /// updates. Collective.
  void share_state(uint64_t updates);

  /// What was allocated.
  StoreMemory memory() const;

 private:
  // Elements of one parameter that one worker updates in one go.
  struct Stretch {
    size_t block;
    uint64_t begin;  // in what this process owns of the block
    uint64_t count;
    bool is_matrix;
  };

  std::vector<Stretch> cut_stretches() const;
  std::optional<StatePiece> state_of(const Parameter& parameter) const;
  double owned_sum_of_squares();
  void apply(const AdamWOptions& options, double learning_rate, double gradient_scale);

  ParameterLayout layout_;
  Collectives& collectives_;
  WorkerPool& workers_;
  Sharding sharding_;
  ShardedWeights weights_;
  ShardedGradients gradients_;
  BlockArray first_moments_, second_moments_;  // of what this process owns
  std::vector<Stretch> stretches_;
  std::vector<double> partial_sums_;  // one for each stretch
  uint64_t updates_ = 0;
};

}  // namespace branchmerge::sft
