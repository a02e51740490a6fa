#include "sft/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "sft/model/batch_rows.h"
#include "sft/model/linear_map.h"
#include "sft/model/parameters.h"
#include "sft/model/rope.h"
#include "sft/model/workspace.h"

namespace branchmerge::sft {
namespace {

/// Where a layer's parameters lie in its block: the same in each.
struct LayerMaps {
  size_t attention_norm, mlp_norm, query_norm = 0, key_norm = 0;
  LinearMap qkv, output, gate_up, down;

  LayerMaps(const ParameterLayout& layout, bool qk_norm)
      : attention_norm(layout.find("model.layers.0.input_layernorm.weight")->offset),
        mlp_norm(layout.find("model.layers.0.post_attention_layernorm.weight")->offset),
        qkv(layout, {"model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
                     "model.layers.0.self_attn.v_proj"}),
        output(layout, {"model.layers.0.self_attn.o_proj"}),
        gate_up(layout, {"model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj"}),
        down(layout, {"model.layers.0.mlp.down_proj"}) {
    if (!qk_norm) return;
    query_norm = layout.find("model.layers.0.self_attn.q_norm.weight")->offset;
    key_norm = layout.find("model.layers.0.self_attn.k_norm.weight")->offset;
  }
};

}  // namespace

/// The passes over one batch, as flat lists of operations.
class Decoder::Passes {
 public:
  Passes(const ModelConfig& config, Backend& backend, const DecoderOptions& options)
      : config_(config),
        backend_(backend),
        options_(options),
        layout_(parameter_layout(config)),
        maps_(layout_, config.qk_norm),
        last_block_(config.layers + 1),
        head_offset_(config.tied ? 0 : layout_.find("lm_head.weight")->offset),
        memory_(backend.allocate(Decoder::workspace_bytes(config, backend, options))) {
    work_.lay_out(static_cast<std::byte*>(memory_), config, backend, options);
    if (config.rope.type != RopeType::kDynamic) upload_frequencies(0);
  }
  ~Passes() { backend_.deallocate(memory_); }
  Passes(const Passes&) = delete;
  Passes& operator=(const Passes&) = delete;

  double forward_backward(const Batch& batch, float loss_scale, WeightSource& weights,
                          GradientSink& gradients) {
    forward(batch, weights);
    float* const dlast = gradients.acquire(last_block_);
    float* const dembedding = config_.tied ? gradients.acquire(0) : nullptr;
    const double loss = head_backward(loss_scale, weights, dlast, dembedding);
    gradients.release(last_block_);
    for (size_t layer = config_.layers; layer-- > 0;) {
      const float* const block = weights.acquire(layer + 1);
      float* const dblock = gradients.acquire(layer + 1);
      compute_again(layer, block);
      backward_layer(work_.layers[layer], block, dblock);
      weights.release(layer + 1);
      gradients.release(layer + 1);
    }
    backward_embedding(dembedding ? dembedding : gradients.acquire(0));
    gradients.release(0);
    return loss;
  }

  double loss_sum(const Batch& batch, WeightSource& weights) {
    forward(batch, weights);
    const HeadWeights head(*this, weights);
    for_each_chunk([&](size_t begin, size_t rows) {
      forward_chunk(begin, rows, head);
      backend_.cross_entropy(rows, config_.vocabulary_size, work_.logits, work_.trained_targets + begin,
                             work_.losses + begin);
    });
    return sum_of_losses();
  }

 private:
  /// The final norm and lm_head, held as long as the object lives.
  struct HeadWeights {
    WeightSource& source;
    const bool tied;
    const size_t last_block;
    const float *norm, *lm_head;

    HeadWeights(const Passes& passes, WeightSource& weights)
        : source(weights),
          tied(passes.config_.tied),
          last_block(passes.last_block_),
          norm(weights.acquire(last_block)),
          lm_head(tied ? weights.acquire(0) : norm + passes.head_offset_) {}
    ~HeadWeights() {
      if (tied) source.release(0);
      source.release(last_block);
    }
    HeadWeights(const HeadWeights&) = delete;
    HeadWeights& operator=(const HeadWeights&) = delete;
  };

  void forward(const Batch& batch, WeightSource& weights) {
    begin_batch(batch);
    backend_.gather_rows(tokens_, config_.hidden_size, work_.tokens, weights.acquire(0),
                         work_.layers[0].input);
    weights.release(0);
    for (size_t layer = 0; layer < config_.layers; layer++) {
      const float* const block = weights.acquire(layer + 1);
      const LayerBuffers& buffers = work_.layers[layer];
      forward_layer(buffers, block);
      float* const output = layer + 1 < config_.layers ? work_.layers[layer + 1].input : work_.output;
      copy(buffers.middle, output);
      maps_.down.forward(backend_, tokens_, buffers.activated, block, Target::kAccumulate, output);
      weights.release(layer + 1);
    }
  }

  void begin_batch(const Batch& batch) {
    const BatchRows rows(batch, config_.vocabulary_size, options_.max_tokens);
    tokens_ = batch.tokens.size();
    trained_ = rows.trained_rows.size();
    groups_ = rows.group_indices.size();
    segments_.assign(batch.segments.begin(), batch.segments.end());
    upload(batch.tokens, work_.tokens);
    upload(batch.positions, work_.positions);
    upload(rows.trained_rows, work_.trained_rows);
    upload(rows.trained_targets, work_.trained_targets);
    upload(rows.group_indices, work_.group_indices);
    upload(rows.group_starts, work_.group_starts);
    upload(rows.group_order, work_.group_order);
    compute_rope_tables(batch);
  }

  void upload(std::span<const uint32_t> from, uint32_t* to) {
    backend_.upload(to, from.data(), from.size_bytes());
  }

  void upload_frequencies(size_t sequence_length) {
    const std::vector<float> frequencies =
        inverse_frequencies(config_.rope, config_.head_dim, sequence_length);
    backend_.upload(work_.inverse_frequencies, frequencies.data(), frequencies.size() * sizeof(float));
  }

  /// A dynamic embedding goes by the length of each segment, so that a document's result does not depend on
  /// what it is packed with.
  void compute_rope_tables(const Batch& batch) {
    if (config_.rope.type != RopeType::kDynamic) return compute_rope_tables(0, tokens_);
    for (size_t i = 0; i + 1 < segments_.size(); i++) {
      const auto positions = batch.positions.subspan(segments_[i], segments_[i + 1] - segments_[i]);
      upload_frequencies(size_t{*std::max_element(positions.begin(), positions.end())} + 1);
      compute_rope_tables(segments_[i], segments_[i + 1]);
    }
  }

  void compute_rope_tables(size_t begin, size_t end) {
    const size_t half = config_.head_dim / 2;
    backend_.rope_tables(end - begin, work_.positions + begin, half, work_.inverse_frequencies,
                         float(config_.rope.attention_factor), work_.cosines + begin * half,
                         work_.sines + begin * half);
  }

  /// All of a layer but the down projection and the residual that it is added to.
  void forward_layer(const LayerBuffers& layer, const float* block) {
    norm(layer.input, block + maps_.attention_norm, layer.attention_normed, layer.attention_inverse_rms);
    maps_.qkv.forward(backend_, tokens_, layer.attention_normed, block, Target::kOverwrite, layer.qkv);
    if (config_.qk_norm) norm_heads(layer, block);
    backend_.rope(rotated_heads(), layer.qkv, config_.qkv_width(), work_.cosines, work_.sines,
                  Rotation::kForward);
    backend_.attention(attention_shape(), layer.qkv, layer.attended, layer.log_sums, work_.attention_scratch);
    copy(layer.input, layer.middle);
    maps_.output.forward(backend_, tokens_, layer.attended, block, Target::kAccumulate, layer.middle);
    norm(layer.middle, block + maps_.mlp_norm, layer.mlp_normed, layer.mlp_inverse_rms);
    maps_.gate_up.forward(backend_, tokens_, layer.mlp_normed, block, Target::kOverwrite, layer.gate_up);
    backend_.swiglu(tokens_, config_.intermediate_size, layer.gate_up, layer.activated);
  }

  /// What the layer's forward pass did not keep.
  void compute_again(size_t index, const float* block) {
    const LayerBuffers& layer = work_.layers[index];
    if (options_.recompute == Recompute::kFull) forward_layer(layer, block);
    if (options_.recompute != Recompute::kSelective) return;
    norm(layer.input, block + maps_.attention_norm, layer.attention_normed, layer.attention_inverse_rms);
    norm(layer.middle, block + maps_.mlp_norm, layer.mlp_normed, layer.mlp_inverse_rms);
    backend_.swiglu(tokens_, config_.intermediate_size, layer.gate_up, layer.activated);
  }

  /// dhidden goes from the gradient of the layer's output to that of its input. Gradients of normed,
  /// activated and gate_up take the places of these when they have been used for the last time.
  void backward_layer(const LayerBuffers& layer, const float* block, float* dblock) {
    maps_.down.backward_to_weights(backend_, tokens_, layer.activated, work_.dhidden, dblock);
    maps_.down.backward_to_inputs(backend_, tokens_, block, work_.dhidden, layer.activated);
    backend_.swiglu_backward(tokens_, config_.intermediate_size, layer.gate_up, layer.activated);
    maps_.gate_up.backward_to_weights(backend_, tokens_, layer.mlp_normed, layer.gate_up, dblock);
    maps_.gate_up.backward_to_inputs(backend_, tokens_, block, layer.gate_up, layer.mlp_normed);
    norm_backward(layer.middle, block + maps_.mlp_norm, layer.mlp_inverse_rms, layer.mlp_normed,
                  dblock + maps_.mlp_norm);

    maps_.output.backward_to_weights(backend_, tokens_, layer.attended, work_.dhidden, dblock);
    maps_.output.backward_to_inputs(backend_, tokens_, block, work_.dhidden, work_.dattended);
    backend_.attention_backward(attention_shape(), layer.qkv, layer.attended, layer.log_sums, work_.dattended,
                                work_.dqkv, work_.attention_scratch);
    backend_.rope(rotated_heads(), work_.dqkv, config_.qkv_width(), work_.cosines, work_.sines,
                  Rotation::kBackward);
    if (config_.qk_norm) norm_heads_backward(layer, block, dblock);
    maps_.qkv.backward_to_weights(backend_, tokens_, layer.attention_normed, work_.dqkv, dblock);
    maps_.qkv.backward_to_inputs(backend_, tokens_, block, work_.dqkv, layer.attention_normed);
    norm_backward(layer.input, block + maps_.attention_norm, layer.attention_inverse_rms,
                  layer.attention_normed, dblock + maps_.attention_norm);
  }

  void norm_heads(const LayerBuffers& layer, const float* block) {
    const size_t width = config_.query_width() + config_.key_width(), stride = config_.qkv_width();
    const size_t keys = config_.query_width();
    backend_.copy_rows(tokens_, width, layer.qkv, stride, layer.unnormed_heads, width);
    backend_.rms_norm(query_heads(), layer.unnormed_heads, width, block + maps_.query_norm,
                      config_.rms_norm_epsilon, layer.qkv, stride, layer.query_inverse_rms);
    backend_.rms_norm(key_heads(), layer.unnormed_heads + keys, width, block + maps_.key_norm,
                      config_.rms_norm_epsilon, layer.qkv + keys, stride, layer.key_inverse_rms);
  }

  void norm_heads_backward(const LayerBuffers& layer, const float* block, float* dblock) {
    const size_t width = config_.query_width() + config_.key_width(), stride = config_.qkv_width();
    float* const dkeys = work_.dqkv + config_.query_width();
    backend_.rms_norm_backward(query_heads(), layer.unnormed_heads, width, block + maps_.query_norm,
                               layer.query_inverse_rms, work_.dqkv, stride, Target::kOverwrite, work_.dqkv,
                               stride, dblock + maps_.query_norm);
    backend_.rms_norm_backward(key_heads(), layer.unnormed_heads + config_.query_width(), width,
                               block + maps_.key_norm, layer.key_inverse_rms, dkeys, stride,
                               Target::kOverwrite, dkeys, stride, dblock + maps_.key_norm);
  }

  void backward_embedding(float* dembedding) {
    backend_.add_grouped_rows({groups_, work_.group_indices, work_.group_starts, work_.group_order},
                              config_.hidden_size, work_.dhidden, dembedding);
  }

  /// Loss and gradients of the trained rows; leaves the gradient of the last layer's output in dhidden.
  double head_backward(float loss_scale, WeightSource& weights, float* dlast, float* dembedding) {
    const HeadWeights head(*this, weights);
    float* const dlm_head = config_.tied ? dembedding : dlast + head_offset_;
    const size_t hidden = config_.hidden_size, vocabulary = config_.vocabulary_size;
    backend_.fill_zero(work_.dhidden, tokens_ * hidden);
    for_each_chunk([&](size_t begin, size_t rows) {
      forward_chunk(begin, rows, head);
      backend_.cross_entropy_backward(rows, vocabulary, work_.logits, work_.trained_targets + begin,
                                      loss_scale, work_.losses + begin);
      backend_.matrix_product(Operand::kTransposed, Operand::kPlain, vocabulary, hidden, rows, work_.logits,
                              vocabulary, work_.head_normed, hidden, Target::kAccumulate, dlm_head, hidden);
      backend_.matrix_product(Operand::kPlain, Operand::kPlain, rows, hidden, vocabulary, work_.logits,
                              vocabulary, head.lm_head, hidden, Target::kOverwrite, work_.head_normed,
                              hidden);
      backend_.rms_norm_backward({rows, 1, hidden}, work_.head_hidden, hidden, head.norm,
                                 work_.head_inverse_rms, work_.head_normed, hidden, Target::kOverwrite,
                                 work_.head_normed, hidden, dlast);
      backend_.scatter_rows(rows, hidden, work_.trained_rows + begin, work_.head_normed, work_.dhidden);
    });
    return sum_of_losses();
  }

  /// Logits of some trained rows.
  void forward_chunk(size_t begin, size_t rows, const HeadWeights& head) {
    const size_t hidden = config_.hidden_size, vocabulary = config_.vocabulary_size;
    backend_.gather_rows(rows, hidden, work_.trained_rows + begin, work_.output, work_.head_hidden);
    backend_.rms_norm({rows, 1, hidden}, work_.head_hidden, hidden, head.norm, config_.rms_norm_epsilon,
                      work_.head_normed, hidden, work_.head_inverse_rms);
    backend_.matrix_product(Operand::kPlain, Operand::kTransposed, rows, vocabulary, hidden,
                            work_.head_normed, hidden, head.lm_head, hidden, Target::kOverwrite, work_.logits,
                            vocabulary);
  }

  template <class Body>
  void for_each_chunk(const Body& body) {
    for (size_t begin = 0; begin < trained_; begin += options_.loss_chunk_tokens)
      body(begin, std::min(options_.loss_chunk_tokens, trained_ - begin));
  }

  double sum_of_losses() {
    std::vector<float> losses(trained_);
    backend_.download(losses.data(), work_.losses, losses.size() * sizeof(float));
    double sum = 0;
    for (const float loss : losses) sum += loss;
    return sum;
  }

  void copy(const float* from, float* to) {
    backend_.copy_rows(tokens_, config_.hidden_size, from, config_.hidden_size, to, config_.hidden_size);
  }
  void norm(const float* x, const float* weight, float* y, float* inverse_rms) {
    backend_.rms_norm(hidden_rows(), x, config_.hidden_size, weight, config_.rms_norm_epsilon, y,
                      config_.hidden_size, inverse_rms);
  }
  /// Adds to dhidden.
  void norm_backward(const float* x, const float* weight, const float* inverse_rms, const float* dy,
                     float* dweight) {
    backend_.rms_norm_backward(hidden_rows(), x, config_.hidden_size, weight, inverse_rms, dy,
                               config_.hidden_size, Target::kAccumulate, work_.dhidden, config_.hidden_size,
                               dweight);
  }

  HeadRows hidden_rows() const { return {tokens_, 1, config_.hidden_size}; }
  HeadRows query_heads() const { return {tokens_, config_.heads, config_.head_dim}; }
  HeadRows key_heads() const { return {tokens_, config_.key_value_heads, config_.head_dim}; }
  HeadRows rotated_heads() const {
    return {tokens_, config_.heads + config_.key_value_heads, config_.head_dim};
  }
  AttentionShape attention_shape() const {
    return {segments_, config_.heads, config_.key_value_heads, config_.head_dim,
            float(1 / std::sqrt(double(config_.head_dim)))};
  }

  const ModelConfig config_;
  Backend& backend_;
  const DecoderOptions options_;
  const ParameterLayout layout_;
  const LayerMaps maps_;
  const size_t last_block_, head_offset_;
  void* const memory_;
  Workspace work_;

  size_t tokens_ = 0, trained_ = 0, groups_ = 0;  // of the batch
  std::vector<uint32_t> segments_;
};

Decoder::Decoder(const ModelConfig& config, Backend& backend, const DecoderOptions& options)
    : passes_(std::make_unique<Passes>(config, backend, options)) {}

Decoder::~Decoder() = default;

double Decoder::forward_backward(const Batch& batch, float loss_scale, WeightSource& weights,
                                 GradientSink& gradients) {
  return passes_->forward_backward(batch, loss_scale, weights, gradients);
}

double Decoder::loss_sum(const Batch& batch, WeightSource& weights) {
  return passes_->loss_sum(batch, weights);
}

uint64_t Decoder::workspace_bytes(const ModelConfig& config, const Backend& backend,
                                  const DecoderOptions& options) {
  Workspace counted;
  return counted.lay_out(nullptr, config, backend, options);
}

}  // namespace branchmerge::sft
