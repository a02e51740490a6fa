#pragma once
// A decoder's loss in float64, a vector at a time and by parameter name: an oracle for the fast passes.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "../ops/slow_attention.h"
#include "sft/model/decoder.h"
#include "sft/model/parameters.h"

namespace branchmerge::sft {

class SlowDecoder {
 public:
  using Vector = std::vector<double>;
  /// frequencies[segment][pair]; all angles' cosines and sines are multiplied by `rope_factor`.
  SlowDecoder(const ModelConfig& config, std::vector<Vector> frequencies, double rope_factor)
      : config_(config),
        layout_(parameter_layout(config)),
        frequencies_(std::move(frequencies)),
        rope_factor_(rope_factor) {}

  /// Σ −ln p over the trained targets. `blocks` as the decoder has them.
  double loss_sum(const Batch& batch, const std::vector<Vector>& blocks) const {
    std::vector<Vector> hidden;
    for (const uint32_t token : batch.tokens)
      hidden.push_back(row("model.embed_tokens.weight", token, blocks));
    for (size_t layer = 0; layer < config_.layers; layer++) run_layer(layer, batch, blocks, hidden);
    double loss = 0;
    for (size_t t = 0; t < hidden.size(); t++)
      if (batch.targets[t] != kIgnoredTarget)
        loss += cross_entropy(norm(hidden[t], "model.norm.weight", blocks), size_t(batch.targets[t]), blocks);
    return loss;
  }

 private:
  const double* find(const std::string& name, const std::vector<Vector>& blocks) const {
    const Parameter* const parameter = layout_.find(name);
    return parameter ? blocks[parameter->block].data() + parameter->offset : nullptr;
  }

  Vector row(const std::string& name, size_t index, const std::vector<Vector>& blocks) const {
    const double* const begin = find(name, blocks) + index * config_.hidden_size;
    return {begin, begin + config_.hidden_size};
  }

  Vector linear(const Vector& x, const std::string& name, size_t outputs,
                const std::vector<Vector>& blocks) const {
    const double* const weight = find(name + ".weight", blocks);
    const double* const bias = find(name + ".bias", blocks);
    Vector y(outputs);
    for (size_t o = 0; o < outputs; o++) {
      y[o] = bias ? bias[o] : 0;
      for (size_t i = 0; i < x.size(); i++) y[o] += weight[o * x.size() + i] * x[i];
    }
    return y;
  }

  Vector norm(const Vector& x, const std::string& name, const std::vector<Vector>& blocks) const {
    const double* const weight = find(name, blocks);
    double squares = 0;
    for (const double value : x) squares += value * value;
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); i++)
      y[i] = weight[i] * x[i] / std::sqrt(squares / double(x.size()) + double(config_.rms_norm_epsilon));
    return y;
  }

  void run_layer(size_t index, const Batch& batch, const std::vector<Vector>& blocks,
                 std::vector<Vector>& hidden) const {
    const std::string layer = "model.layers." + std::to_string(index) + ".";
    SlowAttention attention{{batch.segments.begin(), batch.segments.end()},
                            config_.heads,
                            config_.key_value_heads,
                            config_.head_dim};
    Vector qkv;
    size_t segment = 0;
    for (size_t t = 0; t < hidden.size(); t++) {
      if (t == batch.segments[segment + 1]) segment++;
      const Vector x = norm(hidden[t], layer + "input_layernorm.weight", blocks);
      const Vector& frequencies = frequencies_[std::min(segment, frequencies_.size() - 1)];
      append_heads(x, layer, "q", config_.heads, batch.positions[t], frequencies, blocks, qkv);
      append_heads(x, layer, "k", config_.key_value_heads, batch.positions[t], frequencies, blocks, qkv);
      append_heads(x, layer, "v", config_.key_value_heads, batch.positions[t], frequencies, blocks, qkv);
    }
    const Vector attended = attention(qkv);
    const size_t width = config_.query_width();
    for (size_t t = 0; t < hidden.size(); t++) {
      const Vector mine(attended.begin() + ptrdiff_t(t * width),
                        attended.begin() + ptrdiff_t((t + 1) * width));
      add(linear(mine, layer + "self_attn.o_proj", config_.hidden_size, blocks), hidden[t]);
      add(mlp(norm(hidden[t], layer + "post_attention_layernorm.weight", blocks), layer, blocks), hidden[t]);
    }
  }

  Vector mlp(const Vector& x, const std::string& layer, const std::vector<Vector>& blocks) const {
    const Vector gate = linear(x, layer + "mlp.gate_proj", config_.intermediate_size, blocks);
    Vector product = linear(x, layer + "mlp.up_proj", config_.intermediate_size, blocks);
    for (size_t i = 0; i < gate.size(); i++) product[i] *= gate[i] / (1 + std::exp(-gate[i]));
    return linear(product, layer + "mlp.down_proj", config_.hidden_size, blocks);
  }

  void append_heads(const Vector& x, const std::string& layer, const std::string& kind, size_t heads,
                    size_t position, const Vector& frequencies, const std::vector<Vector>& blocks,
                    Vector& qkv) const {
    const size_t width = config_.head_dim, half = width / 2;
    const std::string name = layer + "self_attn." + kind;
    const Vector all = linear(x, name + "_proj", heads * width, blocks);
    for (size_t head = 0; head < heads; head++) {
      Vector y(all.begin() + ptrdiff_t(head * width), all.begin() + ptrdiff_t((head + 1) * width));
      if (config_.qk_norm && kind != "v") y = norm(y, name + "_norm.weight", blocks);
      if (kind != "v") {
        const Vector before = y;
        for (size_t i = 0; i < half; i++) {
          const double angle = double(position) * frequencies[i];
          const double cosine = std::cos(angle) * rope_factor_, sine = std::sin(angle) * rope_factor_;
          y[i] = before[i] * cosine - before[i + half] * sine;
          y[i + half] = before[i + half] * cosine + before[i] * sine;
        }
      }
      qkv.insert(qkv.end(), y.begin(), y.end());
    }
  }

  double cross_entropy(const Vector& x, size_t target, const std::vector<Vector>& blocks) const {
    const std::string name = config_.tied ? "model.embed_tokens.weight" : "lm_head.weight";
    double sum = 0, of_target = 0;
    for (size_t token = 0; token < config_.vocabulary_size; token++) {
      const Vector weights = row(name, token, blocks);
      double logit = 0;
      for (size_t i = 0; i < x.size(); i++) logit += x[i] * weights[i];
      if (token == target) of_target = logit;
      sum += std::exp(logit);
    }
    return std::log(sum) - of_target;
  }

  static void add(const Vector& x, Vector& y) {
    for (size_t i = 0; i < x.size(); i++) y[i] += x[i];
  }

  ModelConfig config_;
  ParameterLayout layout_;
  std::vector<Vector> frequencies_;
  double rope_factor_;
};

}  // namespace branchmerge::sft
