#include "sft/model/workspace.h"

#include <algorithm>

namespace branchmerge::sft {
namespace {

constexpr uint64_t kAlignment = 64;

/// Hands out neighbouring pieces of memory, or only counts them.
class Pieces {
 public:
  explicit Pieces(std::byte* memory) : memory_(memory) {}

  template <class Element>
  Element* take(uint64_t elements) {
    std::byte* const piece = memory_ ? memory_ + bytes_ : nullptr;
    bytes_ += (elements * sizeof(Element) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<Element*>(piece);
  }
  float* floats(uint64_t elements) { return take<float>(elements); }
  uint32_t* indices(uint64_t elements) { return take<uint32_t>(elements); }

  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  uint64_t bytes_ = 0;
};

/// What element-wise operations can compute again from the rest.
void take_cheap_buffers(Pieces& pieces, const ModelConfig& config, uint64_t tokens, LayerBuffers& layer) {
  layer.attention_normed = pieces.floats(tokens * config.hidden_size);
  layer.mlp_normed = pieces.floats(tokens * config.hidden_size);
  layer.activated = pieces.floats(tokens * config.intermediate_size);
}

void take_costly_buffers(Pieces& pieces, const ModelConfig& config, uint64_t tokens, LayerBuffers& layer) {
  layer.attention_inverse_rms = pieces.floats(tokens);
  if (config.qk_norm) {
    layer.unnormed_heads = pieces.floats(tokens * (config.query_width() + config.key_width()));
    layer.query_inverse_rms = pieces.floats(tokens * config.heads);
    layer.key_inverse_rms = pieces.floats(tokens * config.key_value_heads);
  }
  layer.qkv = pieces.floats(tokens * config.qkv_width());
  layer.attended = pieces.floats(tokens * config.query_width());
  layer.log_sums = pieces.floats(tokens * config.heads);
  layer.middle = pieces.floats(tokens * config.hidden_size);
  layer.mlp_inverse_rms = pieces.floats(tokens);
  layer.gate_up = pieces.floats(tokens * 2 * config.intermediate_size);
}

std::vector<LayerBuffers> take_layers(Pieces& pieces, const ModelConfig& config,
                                      const DecoderOptions& options) {
  const uint64_t tokens = options.max_tokens;
  LayerBuffers shared{};
  if (options.recompute != Recompute::kNone) take_cheap_buffers(pieces, config, tokens, shared);
  if (options.recompute == Recompute::kFull) take_costly_buffers(pieces, config, tokens, shared);
  std::vector<LayerBuffers> layers(config.layers, shared);
  for (LayerBuffers& layer : layers) {
    layer.input = pieces.floats(tokens * config.hidden_size);
    if (options.recompute == Recompute::kNone) take_cheap_buffers(pieces, config, tokens, layer);
    if (options.recompute != Recompute::kFull) take_costly_buffers(pieces, config, tokens, layer);
  }
  return layers;
}

}  // namespace

uint64_t Workspace::lay_out(std::byte* memory, const ModelConfig& config, const Backend& backend,
                            const DecoderOptions& options) {
  const uint64_t count = options.max_tokens, chunk = std::min(options.loss_chunk_tokens, options.max_tokens);
  const uint64_t half = config.head_dim / 2;
  Pieces pieces(memory);
  layers = take_layers(pieces, config, options);
  output = pieces.floats(count * config.hidden_size);
  dhidden = pieces.floats(count * config.hidden_size);
  dattended = pieces.floats(count * config.query_width());
  dqkv = pieces.floats(count * config.qkv_width());
  attention_scratch = pieces.take<std::byte>(
      backend.attention_scratch_bytes(count, config.heads, config.key_value_heads, config.head_dim));
  inverse_frequencies = pieces.floats(half);
  cosines = pieces.floats(count * half);
  sines = pieces.floats(count * half);
  tokens = pieces.indices(count);
  positions = pieces.indices(count);
  group_indices = pieces.indices(count);
  group_starts = pieces.indices(count + 1);
  group_order = pieces.indices(count);
  trained_rows = pieces.indices(count);
  trained_targets = pieces.indices(count);
  losses = pieces.floats(count);
  head_hidden = pieces.floats(chunk * config.hidden_size);
  head_normed = pieces.floats(chunk * config.hidden_size);
  head_inverse_rms = pieces.floats(chunk);
  logits = pieces.floats(chunk * config.vocabulary_size);
  return pieces.bytes();
}

}  // namespace branchmerge::sft
