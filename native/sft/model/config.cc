#include "sft/model/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "safetensors/json.h"
#include "sft/model/config_fields.h"

namespace branchmerge::sft {
namespace {

constexpr uint64_t kMaxConfigBytes = 16 << 20;
/// No published model comes near. Widths and their sums then fit OpenBLAS's 32-bit sizes.
constexpr uint64_t kMaxWidth = 1 << 24;
constexpr uint64_t kMaxLayers = 1 << 12;
/// Targets are int32.
constexpr uint64_t kMaxVocabulary = (uint64_t{1} << 31) - 1;

struct FamilyName {
  std::string_view model_type, architecture;
  Family family;
};
constexpr FamilyName kFamilies[] = {{"qwen2", "Qwen2ForCausalLM", Family::kQwen2},
                                    {"llama", "LlamaForCausalLM", Family::kLlama},
                                    {"qwen3", "Qwen3ForCausalLM", Family::kQwen3}};

const FamilyName& read_family(const ConfigFields& config) {
  const std::string model_type = config.required_string("model_type");
  const auto* const family =
      std::find_if(std::begin(kFamilies), std::end(kFamilies),
                   [&](const FamilyName& candidate) { return candidate.model_type == model_type; });
  if (family == std::end(kFamilies))
    config.refuse("Expected qwen2, llama or qwen3 for model_type but received " +
                  quote_for_message(model_type));
  for (const std::string& architecture : config.strings("architectures"))
    if (architecture != family->architecture)
      config.refuse("Expected " + std::string(family->architecture) + " for architectures but received " +
                    quote_for_message(architecture));
  return *family;
}

void refuse_mixture_of_experts(const ConfigFields& config) {
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"})
    if (config.has(key)) config.refuse("Expected a dense model but received " + std::string(key));
}

/// Layers slide where use_sliding_window is set, a window is given, and the layer is beyond
/// max_window_layers.
void refuse_sliding_window(const ConfigFields& config, size_t layers) {
  for (const std::string& type : config.strings("layer_types"))
    if (type != "full_attention")
      config.refuse("Expected full_attention for layer_types but received " + quote_for_message(type));
  if (!config.boolean("use_sliding_window", false) || !config.has("sliding_window")) return;
  if (config.size("max_window_layers", 0, {0, kMaxLayers}) < layers)
    config.refuse(
        "Expected false for use_sliding_window but received true: a sliding window is not computed");
}

void refuse_unsupported(const ConfigFields& config, const ModelConfig& model) {
  const std::string activation = config.string("hidden_act", "silu");
  if (activation != "silu")
    config.refuse("Expected silu for hidden_act but received " + quote_for_message(activation));
  if (config.number("attention_dropout", 0) != 0)
    config.refuse("Expected 0 for attention_dropout but received " + config.text("attention_dropout") +
                  ". Set it to 0: fine-tuning here drops nothing");
  if (config.has("quantization_config"))
    config.refuse("Expected no quantization_config. Start from the weights before quantisation");
  if (config.number("partial_rotary_factor", 1) != 1)
    config.refuse("Expected 1 for partial_rotary_factor but received " +
                  config.text("partial_rotary_factor"));
  refuse_mixture_of_experts(config);
  refuse_sliding_window(config, model.layers);
}

RopeType read_rope_type(const ConfigFields& rope) {
  const std::string type = rope.string("rope_type", rope.string("type", "default"));
  if (type == "default") return RopeType::kDefault;
  if (type == "linear") return RopeType::kLinear;
  if (type == "dynamic") return RopeType::kDynamic;
  if (type == "yarn") return RopeType::kYarn;
  if (type == "llama3") return RopeType::kLlama3;
  rope.refuse("Expected default, linear, dynamic, yarn or llama3 for rope_type but received " +
              quote_for_message(type));
}

/// 0.1 m ln f + 1, of which YaRN's factor of the cosines is one, or the ratio of two (DeepSeek's mscale).
double yarn_magnitude(double factor, double multiplier) {
  return factor <= 1 ? 1 : 0.1 * multiplier * std::log(factor) + 1;
}

double read_attention_factor(const ConfigFields& rope, double factor) {
  const double mscale = rope.number("mscale", 0), mscale_all = rope.number("mscale_all_dim", 0);
  const double inferred = mscale != 0 && mscale_all != 0
                              ? yarn_magnitude(factor, mscale) / yarn_magnitude(factor, mscale_all)
                              : yarn_magnitude(factor, 1);
  return rope.number("attention_factor", inferred);
}

/// transformers before 5 has rope_theta and rope_scaling; later versions nest both in rope_parameters.
RopeConfig read_rope(const ConfigFields& config) {
  if (config.has("rope_parameters") && config.has("rope_scaling"))
    config.refuse("Expected one of rope_parameters and rope_scaling but received both");
  RopeConfig result;
  result.theta = config.number("rope_theta", result.theta);
  const auto rope = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (rope) {
    result.type = read_rope_type(*rope);
    result.theta = rope->number("rope_theta", result.theta);
    if (rope->number("partial_rotary_factor", 1) != 1)
      rope->refuse("Expected 1 for partial_rotary_factor but received " +
                   rope->text("partial_rotary_factor"));
  }
  if (!(result.theta > 1)) config.fail("Expected a number above 1 for rope_theta");
  if (result.type == RopeType::kDefault) return result;

  result.factor = rope->required_number("factor");
  if (!(result.factor >= 1)) rope->fail("Expected a number of at least 1 for factor");
  if (result.type == RopeType::kLinear) return result;

  const uint64_t positions =
      result.type == RopeType::kLlama3
          ? rope->required_size("original_max_position_embeddings", {1, kMaxVocabulary})
          : rope->size("original_max_position_embeddings",
                       config.size("max_position_embeddings", 0, {1, kMaxVocabulary}), {1, kMaxVocabulary});
  if (positions == 0) config.fail("Expected max_position_embeddings, which this rope_type needs");
  result.original_max_positions = double(positions);
  result.low_frequency_factor = rope->number("low_freq_factor", result.low_frequency_factor);
  result.high_frequency_factor = rope->number("high_freq_factor", result.high_frequency_factor);
  if (!(result.high_frequency_factor > result.low_frequency_factor && result.low_frequency_factor > 0))
    rope->fail("Expected high_freq_factor to be above low_freq_factor, and both above 0");
  result.beta_fast = rope->number("beta_fast", result.beta_fast);
  result.beta_slow = rope->number("beta_slow", result.beta_slow);
  if (!(result.beta_fast >= result.beta_slow && result.beta_slow > 0))
    rope->fail("Expected beta_fast to be no less than beta_slow, and both above 0");
  result.truncate = rope->boolean("truncate", result.truncate);
  if (result.type == RopeType::kYarn) result.attention_factor = read_attention_factor(*rope, result.factor);
  return result;
}

/// transformers takes 128 where a Qwen3 configuration has none, and an equal share of hidden_size elsewhere.
size_t read_head_dim(const ConfigFields& config, const ModelConfig& model) {
  size_t inferred = model.hidden_size / model.heads;
  if (model.family == Family::kQwen3) {
    inferred = 128;
  } else if (!config.has("head_dim") && model.hidden_size % model.heads != 0) {
    config.fail("Expected num_attention_heads to divide hidden_size, or head_dim to be given");
  }
  const size_t head_dim = config.size("head_dim", inferred, {1, kMaxWidth});
  if (head_dim % 2 != 0) config.fail("Expected an even number for head_dim");
  if (uint64_t(head_dim) * (model.heads + 2 * model.key_value_heads) > kMaxWidth)
    config.fail("Expected the heads of a layer to be at most " + std::to_string(kMaxWidth) +
                " wide together");
  return head_dim;
}

}  // namespace

ModelConfig parse_model_config(std::string_view file, std::string_view json) {
  const ConfigFields config = ConfigFields::parse(file, json);
  ModelConfig model{};
  model.family = read_family(config).family;
  model.hidden_size = config.required_size("hidden_size", {1, kMaxWidth});
  model.intermediate_size = config.required_size("intermediate_size", {1, kMaxWidth});
  model.layers = config.required_size("num_hidden_layers", {1, kMaxLayers});
  model.heads = config.required_size("num_attention_heads", {1, kMaxWidth});
  model.key_value_heads = config.size("num_key_value_heads", model.heads, {1, kMaxWidth});
  if (model.heads % model.key_value_heads != 0)
    config.fail("Expected num_key_value_heads to divide num_attention_heads");
  model.head_dim = read_head_dim(config, model);
  model.vocabulary_size = config.required_size("vocab_size", {1, kMaxVocabulary});
  model.rms_norm_epsilon = float(config.number("rms_norm_eps", 1e-6));
  if (!(model.rms_norm_epsilon > 0)) config.fail("Expected a number above 0 for rms_norm_eps");
  model.tied = config.boolean("tie_word_embeddings", false);
  const bool attention_bias = model.family != Family::kQwen2 && config.boolean("attention_bias", false);
  model.qkv_bias = model.family == Family::kQwen2 || attention_bias;
  model.output_bias = attention_bias;
  model.mlp_bias = model.family == Family::kLlama && config.boolean("mlp_bias", false);
  model.qk_norm = model.family == Family::kQwen3;
  model.rope = read_rope(config);
  refuse_unsupported(config, model);
  return model;
}

ModelConfig read_model_config(const std::string& directory) {
  const std::string path = directory + "/config.json";
  const File file = File::open_for_reading(path);
  const uint64_t bytes = file.size();
  if (bytes > kMaxConfigBytes)
    throw Error("ERR_CONFIG_JSON", path + ": expected at most " + std::to_string(kMaxConfigBytes) +
                                       " bytes but received " + std::to_string(bytes));
  std::string text(bytes, '\0');
  file.read_exactly(std::as_writable_bytes(std::span(text)), 0);
  return parse_model_config(path, text);
}

}  // namespace branchmerge::sft
