#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "sft/model/config.h"
#include "sft/ops/backend.h"

namespace branchmerge::sft {

inline constexpr int32_t kIgnoredTarget = -100;

/// Some packs, one behind the other, in host memory. Tokens and targets are below the vocabulary's size.
struct Batch {
  std::span<const uint32_t> tokens, positions;
  std::span<const int32_t> targets;    // of each token: the token to predict after it, or kIgnoredTarget
  std::span<const uint32_t> segments;  // attention segments: 0, ascending starts, tokens.size()
};

/// Where weights come from. A block stays at its address from acquire to release; a few blocks are held at
/// once (a tied head: 0 and the last). The order of the calls depends on the model and the pass alone, never
/// on the batch, so that they may be collective.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const float* acquire(size_t block) = 0;
  virtual void release(size_t block) = 0;
};

/// Where gradients go: the decoder adds into the block. Each block is acquired and released once in a pass;
/// after release the pass adds no more to it. The order is fixed as that of WeightSource is.
class GradientSink {
 public:
  virtual ~GradientSink() = default;
  virtual float* acquire(size_t block) = 0;
  virtual void release(size_t block) = 0;
};

/// What is computed again in the backward pass instead of being kept: nothing; the cheap element-wise results
/// (norms, SwiGLU); or everything but each layer's input. Results are the same to the bit.
enum class Recompute { kNone, kSelective, kFull };

struct DecoderOptions {
  Recompute recompute;
  size_t loss_chunk_tokens;  // logits of so many tokens are held at a time; at least 1
  size_t max_tokens;         // of a batch
};

/// Forward and backward pass of one model. Holds activations, not weights.
class Decoder {
 public:
  /// Allocates workspace_bytes(…) from the backend, which must outlive the decoder.
  Decoder(const ModelConfig& config, Backend& backend, const DecoderOptions& options);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// The sum over trained targets of −ln p; adds the gradients of loss_scale times that sum.
  double forward_backward(const Batch& batch, float loss_scale, WeightSource& weights,
                          GradientSink& gradients);
  /// The sum alone.
  double loss_sum(const Batch& batch, WeightSource& weights);

  /// What the constructor allocates, exactly.
  static uint64_t workspace_bytes(const ModelConfig& config, const Backend& backend,
                                  const DecoderOptions& options);

 private:
  class Passes;
  std::unique_ptr<Passes> passes_;
};

}  // namespace branchmerge::sft
