#include "sft/model/parameters.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace branchmerge::sft {
namespace {

/// Lays parameters out one after the other.
class LayoutBuilder {
 public:
  void begin_block() { layout_.block_floats.push_back(0); }

  void add(std::string name, std::vector<uint64_t> shape) {
    size_t& floats = layout_.block_floats.back();
    const bool is_matrix = shape.size() == 2;
    const Parameter& added = layout_.parameters.emplace_back(
        Parameter{std::move(name), std::move(shape), layout_.block_floats.size() - 1, floats, is_matrix});
    const size_t end = floats + added.elements();
    floats = (end + kParameterAlignment - 1) / kParameterAlignment * kParameterAlignment;
  }

  ParameterLayout take() { return std::move(layout_); }

 private:
  ParameterLayout layout_;
};

/// q, k and v are neighbours, as are gate and up: where no padding separates them, one product computes all.
void add_layer(const ModelConfig& config, const std::string& prefix, LayoutBuilder& builder) {
  const uint64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
  const uint64_t queries = config.query_width(), keys = config.key_width();
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  builder.add(prefix + "input_layernorm.weight", {hidden});
  builder.add(attention + "q_proj.weight", {queries, hidden});
  builder.add(attention + "k_proj.weight", {keys, hidden});
  builder.add(attention + "v_proj.weight", {keys, hidden});
  if (config.qkv_bias) {
    builder.add(attention + "q_proj.bias", {queries});
    builder.add(attention + "k_proj.bias", {keys});
    builder.add(attention + "v_proj.bias", {keys});
  }
  if (config.qk_norm) {
    builder.add(attention + "q_norm.weight", {config.head_dim});
    builder.add(attention + "k_norm.weight", {config.head_dim});
  }
  builder.add(attention + "o_proj.weight", {hidden, queries});
  if (config.output_bias) builder.add(attention + "o_proj.bias", {hidden});
  builder.add(prefix + "post_attention_layernorm.weight", {hidden});
  builder.add(mlp + "gate_proj.weight", {intermediate, hidden});
  builder.add(mlp + "up_proj.weight", {intermediate, hidden});
  if (config.mlp_bias) {
    builder.add(mlp + "gate_proj.bias", {intermediate});
    builder.add(mlp + "up_proj.bias", {intermediate});
  }
  builder.add(mlp + "down_proj.weight", {hidden, intermediate});
  if (config.mlp_bias) builder.add(mlp + "down_proj.bias", {hidden});
}

}  // namespace

size_t Parameter::elements() const {
  return std::accumulate(shape.begin(), shape.end(), size_t{1}, std::multiplies<>());
}

const Parameter* ParameterLayout::find(std::string_view name) const {
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [&](const Parameter& parameter) { return parameter.name == name; });
  return found == parameters.end() ? nullptr : &*found;
}

ParameterLayout parameter_layout(const ModelConfig& config) {
  LayoutBuilder builder;
  builder.begin_block();
  builder.add("model.embed_tokens.weight", {config.vocabulary_size, config.hidden_size});
  for (size_t layer = 0; layer < config.layers; layer++) {
    builder.begin_block();
    add_layer(config, "model.layers." + std::to_string(layer) + ".", builder);
  }
  builder.begin_block();
  builder.add("model.norm.weight", {config.hidden_size});
  if (!config.tied) builder.add("lm_head.weight", {config.vocabulary_size, config.hidden_size});
  return builder.take();
}

}  // namespace branchmerge::sft
