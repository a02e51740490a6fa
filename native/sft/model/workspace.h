#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sft/model/config.h"
#include "sft/model/decoder.h"
#include "sft/ops/backend.h"

namespace branchmerge::sft {

/// What a layer's forward pass leaves for its backward pass; matrices with one row a token. The backward pass
/// overwrites some of it with gradients.
struct LayerBuffers {
  float* input;                  // hidden_size; the residual stream
  float* attention_inverse_rms;  // 1
  float* attention_normed;       // hidden_size
  float* unnormed_heads;         // queries and keys before q_norm and k_norm; null without these
  float* query_inverse_rms;      // heads
  float* key_inverse_rms;        // key_value_heads
  float* qkv;                    // queries, keys (both rotated) and values
  float* attended;               // query width
  float* log_sums;               // heads × tokens
  float* middle;                 // hidden_size; the residual stream between attention and MLP
  float* mlp_inverse_rms;        // 1
  float* mlp_normed;             // hidden_size
  float* gate_up;                // 2 · intermediate_size
  float* activated;              // intermediate_size
};

/// All memory of a decoder, as one allocation. Layers share what is computed again in the backward pass.
struct Workspace {
  std::vector<LayerBuffers> layers;
  float* output;     // of the last layer
  float* dhidden;    // gradient of the residual stream
  float* dattended;  // query width
  float* dqkv;
  void* attention_scratch;

  float *inverse_frequencies, *cosines, *sines;
  uint32_t *tokens, *positions;
  uint32_t *group_indices, *group_starts, *group_order;  // tokens grouped by id
  uint32_t *trained_rows, *trained_targets;
  float* losses;  // of the trained rows

  float *head_hidden, *head_normed, *head_inverse_rms, *logits;  // of a chunk of trained rows

  /// Lays the buffers out from `memory` on and returns how many bytes they take; null memory only counts.
  uint64_t lay_out(std::byte* memory, const ModelConfig& config, const Backend& backend,
                   const DecoderOptions& options);
};

}  // namespace branchmerge::sft
