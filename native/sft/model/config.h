#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace branchmerge::sft {

enum class Family { kQwen2, kLlama, kQwen3 };

enum class RopeType { kDefault, kLinear, kDynamic, kYarn, kLlama3 };

/// Rotary position embedding, with the names and defaults of Hugging Face's rope_scaling.
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000;
  double factor = 1;                     // all but default
  double original_max_positions = 0;     // yarn, llama3, dynamic
  double low_frequency_factor = 1;       // llama3
  double high_frequency_factor = 4;      // llama3
  double beta_fast = 32, beta_slow = 1;  // yarn
  bool truncate = true;                  // yarn: round the ends of the ramp outwards
  double attention_factor = 1;           // yarn: cosines and sines are multiplied by it
};

/// A dense decoder as its config.json describes it.
struct ModelConfig {
  Family family;
  size_t hidden_size, intermediate_size, layers, heads, key_value_heads, head_dim, vocabulary_size;
  float rms_norm_epsilon;
  bool tied;         // lm_head is embed_tokens
  bool qkv_bias;     // q_proj, k_proj and v_proj have a bias
  bool output_bias;  // so has o_proj
  bool mlp_bias;     // so have gate_proj, up_proj and down_proj
  bool qk_norm;      // each head's query and key go through an RMSNorm
  RopeConfig rope;

  size_t query_width() const { return heads * head_dim; }
  size_t key_width() const { return key_value_heads * head_dim; }
  size_t qkv_width() const { return query_width() + 2 * key_width(); }
};

/// Reads config.json of the directory. ERR_MODEL_UNSUPPORTED names what this trainer does not compute;
/// ERR_CONFIG_JSON is for a file that is no configuration: not JSON, a field missing or of another type,
/// sizes that cannot be.
ModelConfig read_model_config(const std::string& directory);

/// The same from the text of a config.json; `file` is used in messages only.
ModelConfig parse_model_config(std::string_view file, std::string_view json);

}  // namespace branchmerge::sft
