#include "sft/model/config.h"

#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include "../error_code.h"
#include "../temporary_directory.h"
#include "sft/model/flops.h"
#include "sft/model/parameters.h"

namespace branchmerge::sft {
namespace {

ModelConfig parse(const std::string& json) { return parse_model_config("config.json", json); }

/// A small configuration with `fields` in it; a later field of the same name takes the place of the first.
std::string small_config(const std::string& fields, const std::string& model_type = "llama") {
  return R"({"model_type":")" + model_type +
         R"(","hidden_size":12,"intermediate_size":20,"num_hidden_layers":2,"num_attention_heads":6,)" +
         R"("num_key_value_heads":2,"vocab_size":23)" + (fields.empty() ? "" : ",") + fields + "}";
}

size_t parameters_of(const std::string& json) {
  const ParameterLayout layout = parameter_layout(parse(json));
  return std::accumulate(layout.parameters.begin(), layout.parameters.end(), size_t{0},
                         [](size_t sum, const Parameter& parameter) { return sum + parameter.elements(); });
}

const std::string kQwen25 = R"({"architectures":["Qwen2ForCausalLM"],"attention_dropout":0.0,
  "bos_token_id":151643,"eos_token_id":151643,"hidden_act":"silu","hidden_size":896,"initializer_range":0.02,
  "intermediate_size":4864,"max_position_embeddings":32768,"max_window_layers":24,"model_type":"qwen2",
  "num_attention_heads":14,"num_hidden_layers":24,"num_key_value_heads":2,"rms_norm_eps":1e-06,
  "rope_theta":1000000.0,"sliding_window":32768,"tie_word_embeddings":true,"torch_dtype":"bfloat16",
  "transformers_version":"4.40.1","use_cache":true,"use_mrope":false,"use_sliding_window":false,"vocab_size":151936})";

const std::string kLlama32 = R"({"architectures":["LlamaForCausalLM"],"attention_bias":false,
  "attention_dropout":0.0,"bos_token_id":128000,"eos_token_id":128001,"head_dim":64,"hidden_act":"silu",
  "hidden_size":2048,"initializer_range":0.02,"intermediate_size":8192,"max_position_embeddings":131072,
  "mlp_bias":false,"model_type":"llama","num_attention_heads":32,"num_hidden_layers":16,"num_key_value_heads":8,
  "pretraining_tp":1,"rms_norm_eps":1e-05,"rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,
  "original_max_position_embeddings":8192,"rope_type":"llama3"},"rope_theta":500000.0,"tie_word_embeddings":true,
  "torch_dtype":"bfloat16","use_cache":true,"vocab_size":128256})";

const std::string kQwen3 = R"({"architectures":["Qwen3ForCausalLM"],"attention_bias":false,
  "attention_dropout":0.0,"bos_token_id":151643,"eos_token_id":151645,"head_dim":128,"hidden_act":"silu",
  "hidden_size":1024,"initializer_range":0.02,"intermediate_size":3072,"max_position_embeddings":40960,
  "max_window_layers":28,"model_type":"qwen3","num_attention_heads":16,"num_hidden_layers":28,
  "num_key_value_heads":8,"rms_norm_eps":1e-06,"rope_scaling":null,"rope_theta":1000000,"sliding_window":null,
  "tie_word_embeddings":true,"torch_dtype":"bfloat16","use_cache":true,"use_sliding_window":false,"vocab_size":151936})";

TEST_CASE("published configurations give the published numbers of parameters") {
  CHECK(parameters_of(kQwen25) == 494'032'768);
  CHECK(parameters_of(kLlama32) == 1'235'814'400);
  CHECK(parameters_of(kQwen3) == 596'049'920);
}

TEST_CASE("a Qwen2 configuration") {
  const ModelConfig config = parse(kQwen25);
  CHECK(config.family == Family::kQwen2);
  CHECK(config.head_dim == 64);
  CHECK(config.qkv_bias);
  CHECK_FALSE(config.output_bias);
  CHECK_FALSE(config.qk_norm);
  CHECK(config.tied);
  CHECK(config.rms_norm_epsilon == 1e-6F);
  CHECK(config.rope.type == RopeType::kDefault);
  CHECK(config.rope.theta == 1e6);
}

TEST_CASE("a Llama configuration with its scaled rotary embedding") {
  const ModelConfig config = parse(kLlama32);
  CHECK(config.family == Family::kLlama);
  CHECK_FALSE(config.qkv_bias);
  CHECK(config.rope.type == RopeType::kLlama3);
  CHECK(config.rope.factor == 32);
  CHECK(config.rope.original_max_positions == 8192);
}

TEST_CASE("a Qwen3 configuration: heads wider together than the hidden size") {
  const ModelConfig config = parse(kQwen3);
  CHECK(config.qk_norm);
  CHECK_FALSE(config.qkv_bias);
  CHECK(config.query_width() == 2048);
  CHECK(config.key_width() == 1024);
  CHECK(config.qkv_width() == 4096);
}

TEST_CASE("what may be left out") {
  const ModelConfig llama = parse(R"({"model_type":"llama","hidden_size":12,"intermediate_size":20,
    "num_hidden_layers":1,"num_attention_heads":6,"vocab_size":23,"head_dim":null})");
  CHECK(llama.key_value_heads == 6);
  CHECK(llama.head_dim == 2);
  CHECK(llama.rms_norm_epsilon == 1e-6F);
  CHECK_FALSE(llama.tied);
  CHECK(llama.rope.theta == 10000);
  CHECK(parse(small_config("", "qwen3")).head_dim == 128);
}

TEST_CASE("biases on request") {
  const ModelConfig llama = parse(small_config(R"("attention_bias":true,"mlp_bias":true)"));
  CHECK(llama.qkv_bias);
  CHECK(llama.output_bias);
  CHECK(llama.mlp_bias);
  CHECK(parameter_layout(llama).find("model.layers.1.mlp.down_proj.bias") != nullptr);
  const ModelConfig qwen2 = parse(small_config(R"("attention_bias":false,"mlp_bias":true)", "qwen2"));
  CHECK(qwen2.qkv_bias);
  CHECK_FALSE(qwen2.output_bias);
  CHECK_FALSE(qwen2.mlp_bias);
}

TEST_CASE("rotary embeddings in either form") {
  const auto rope = [](const std::string& fields) { return parse(small_config(fields)).rope; };
  CHECK(rope(R"("rope_parameters":{"rope_type":"default","rope_theta":7000},"rope_theta":5)").theta == 7000);
  CHECK(rope(R"("rope_scaling":{"type":"linear","factor":2.5})").type == RopeType::kLinear);
  CHECK(rope(R"("rope_scaling":{"type":"linear","factor":2.5})").factor == 2.5);
  CHECK(rope(R"("rope_scaling":{"rope_type":"linear","type":"dynamic","factor":2})").type ==
        RopeType::kLinear);
  const RopeConfig dynamic =
      rope(R"("rope_scaling":{"type":"dynamic","factor":2},"max_position_embeddings":2048)");
  CHECK(dynamic.type == RopeType::kDynamic);
  CHECK(dynamic.original_max_positions == 2048);
  const RopeConfig yarn = rope(R"("rope_scaling":{"rope_type":"yarn","factor":4.0,
    "original_max_position_embeddings":32768},"max_position_embeddings":131072)");
  CHECK(yarn.original_max_positions == 32768);
  CHECK(yarn.attention_factor == doctest::Approx(1.138629436));
  CHECK(yarn.beta_fast == 32);
  CHECK(rope(R"("rope_scaling":{"rope_type":"yarn","factor":4,"attention_factor":1.5,"truncate":false},
    "max_position_embeddings":64)")
            .attention_factor == 1.5);
  CHECK(rope(R"("rope_scaling":{"rope_type":"yarn","factor":40,"mscale":1.0,"mscale_all_dim":1.0},
    "max_position_embeddings":64)")
            .attention_factor == 1);
}

TEST_CASE("what is not computed is refused by name") {
  struct Case {
    std::string json, named;
  };
  const std::vector<Case> cases = {
      {small_config("", "mistral"), "model_type"},
      {small_config("", "qwen2_moe"), "model_type"},
      {small_config(R"("architectures":["LlamaForSequenceClassification"])"), "architectures"},
      {small_config(R"("hidden_act":"gelu")"), "hidden_act"},
      {small_config(R"("attention_dropout":0.1)"), "attention_dropout"},
      {small_config(R"("quantization_config":{"bits":4})"), "quantization_config"},
      {small_config(R"("partial_rotary_factor":0.5)"), "partial_rotary_factor"},
      {small_config(R"("num_local_experts":8)"), "num_local_experts"},
      {small_config(R"("num_experts":60)", "qwen3"), "num_experts"},
      {small_config(R"("use_sliding_window":true,"sliding_window":4096,"max_window_layers":1)", "qwen2"),
       "use_sliding_window"},
      {small_config(R"("use_sliding_window":true,"sliding_window":4096)", "qwen3"), "use_sliding_window"},
      {small_config(R"("layer_types":["full_attention","sliding_attention"])", "qwen3"), "layer_types"},
      {small_config(R"("rope_scaling":{"rope_type":"longrope","factor":4})"), "rope_type"},
      {small_config(R"("rope_scaling":{"type":"mrope","mrope_section":[1,2]})"), "rope_type"},
      {small_config(R"("rope_parameters":{"rope_type":"default","partial_rotary_factor":0.25})"),
       "partial_rotary_factor"},
      {small_config(
           R"("rope_parameters":{"rope_type":"default"},"rope_scaling":{"type":"linear","factor":2})"),
       "rope_parameters"},
  };
  for (const Case& test : cases) {
    CAPTURE(test.json);
    CHECK(error_code([&] { parse(test.json); }) == "ERR_MODEL_UNSUPPORTED");
    CHECK(error_message([&] { parse(test.json); }).find(test.named) != std::string::npos);
    CHECK(error_message([&] { parse(test.json); }).find("config.json") == 0);
  }
}

TEST_CASE("a window that no layer has is none") {
  parse(small_config(R"("use_sliding_window":true,"sliding_window":4096,"max_window_layers":2)", "qwen2"));
  parse(small_config(R"("use_sliding_window":true,"sliding_window":null)", "qwen2"));
  parse(small_config(R"("layer_types":["full_attention","full_attention"])", "qwen3"));
}

TEST_CASE("what is no configuration") {
  std::vector<std::string> cases = {
      "",
      "{",
      "[]",
      "null",
      "{} {}",
      "\xFF",
      R"({"model_type":"\ud800"})",
      R"({"hidden_size":12})",
      R"({"model_type":5})",
      R"({"model_type":"llama","model_type":"llama"})",
      R"({"model_type":"llama"})",
      small_config(R"("rms_norm_eps":0)"),
      small_config(R"("rms_norm_eps":"1e-6")"),
      small_config(R"("head_dim":3)"),
      small_config(R"("head_dim":0)"),
      small_config(R"("head_dim":16777216)"),
      small_config(R"("tie_word_embeddings":1)"),
      small_config(R"("architectures":"LlamaForCausalLM")"),
      small_config(R"("architectures":[1])"),
      small_config(R"("rope_theta":1)"),
      small_config(R"("rope_theta":-5)"),
      small_config(R"("rope_theta":1e999)"),
      small_config(R"("rope_scaling":"linear")"),
      small_config(R"("rope_scaling":{"type":"linear"})"),
      small_config(R"("rope_scaling":{"type":"linear","factor":0.5})"),
      small_config(R"("rope_scaling":{"type":"dynamic","factor":2})"),
      small_config(R"("rope_scaling":{"rope_type":"llama3","factor":8},"max_position_embeddings":9)"),
      small_config(
          R"("rope_scaling":{"rope_type":"llama3","factor":8,"original_max_position_embeddings":0})"),
      small_config(R"("rope_scaling":{"rope_type":"llama3","factor":8,"original_max_position_embeddings":9,
        "low_freq_factor":4,"high_freq_factor":1})"),
      small_config(R"("rope_scaling":{"rope_type":"yarn","factor":8,"original_max_position_embeddings":9,
        "beta_fast":1,"beta_slow":32})"),
  };
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "vocab_size"}) {
    const std::string text = small_config("");
    const size_t begin = text.find(key) + std::string(key).size() + 2;
    const size_t end = text.find_first_of(",}", begin);
    for (const char* value : {"0", "-1", "1.5", "\"12\"", "[12]", "99999999999", "1e1"})
      cases.push_back(text.substr(0, begin) + value + text.substr(end));
  }
  for (const std::string& json : cases) {
    CAPTURE(json);
    CHECK(error_code([&] { parse(json); }) == "ERR_CONFIG_JSON");
  }
  CHECK(error_message([&] { parse(small_config(R"("head_dim":3)")); }).find("head_dim") != std::string::npos);
}

TEST_CASE("heads must share keys evenly, and the hidden size unless they say how wide they are") {
  std::string odd = small_config("");
  odd.replace(odd.find("\"num_key_value_heads\":2"), 23, "\"num_key_value_heads\":4");
  CHECK(error_code([&] { parse(odd); }) == "ERR_CONFIG_JSON");
  std::string uneven = small_config("");
  uneven.replace(uneven.find("\"hidden_size\":12"), 16, "\"hidden_size\":13");
  CHECK(error_code([&] { parse(uneven); }) == "ERR_CONFIG_JSON");
  uneven.insert(1, "\"head_dim\":4,");
  CHECK(parse(uneven).head_dim == 4);
}

TEST_CASE("the configuration is read from the model's directory") {
  const TemporaryDirectory directory;
  CHECK(error_code([&] { read_model_config(directory.file("")); }) == "ERR_CHECKPOINT_NOT_FOUND");
  directory.write("config.json", kQwen3);
  CHECK(read_model_config(directory.file("")).layers == 28);
  directory.write("config.json", std::string((16 << 20) + 1, ' '));
  CHECK(error_code([&] { read_model_config(directory.file("")); }) == "ERR_CONFIG_JSON");
}

TEST_CASE("parameters lie in their blocks at multiples of a cache line, and q, k and v side by side") {
  const ParameterLayout layout = parameter_layout(parse(small_config("", "qwen2")));
  CHECK(layout.block_floats.size() == 4);
  CHECK(layout.parameters.front().name == "model.embed_tokens.weight");
  CHECK(layout.parameters.back().name == "lm_head.weight");
  CHECK(layout.parameters.back().block == 3);
  size_t block = 0, end = 0;
  for (const Parameter& parameter : layout.parameters) {
    if (parameter.block != block) {
      CHECK(parameter.block == block + 1);
      block = parameter.block;
      end = 0;
    }
    CHECK(parameter.offset % kParameterAlignment == 0);
    CHECK(parameter.offset >= end);
    CHECK(parameter.offset < end + kParameterAlignment);
    end = parameter.offset + parameter.elements();
    CHECK(end <= layout.block_floats[block]);
    CHECK(layout.block_floats[block] % kParameterAlignment == 0);
    CHECK(parameter.is_matrix == (parameter.shape.size() == 2));
  }
  const Parameter* const bias = layout.find("model.layers.1.self_attn.k_proj.bias");
  CHECK(bias->shape == std::vector<uint64_t>{4});
  CHECK(bias->block == 2);
  CHECK(layout.find("model.layers.2.self_attn.k_proj.bias") == nullptr);
}

TEST_CASE("floating-point operations: 6 a token and weight, and attention inside the segments") {
  const ModelConfig config = parse(kQwen25);
  const double products = 24.0 * (2 * 896 * 896 + 2 * 896 * 128 + 3.0 * 896 * 4864);
  const double head = 151936.0 * 896;
  const std::vector<uint32_t> segments = {0, 1000, 1024};
  CHECK(model_flops(config, segments, 500) ==
        doctest::Approx(6 * products * 1024 + 6 * head * 500 + 6 * 24 * 896.0 * (1e6 + 576)));
}

}  // namespace
}  // namespace branchmerge::sft
