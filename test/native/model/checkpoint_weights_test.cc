#include "sft/model/checkpoint_weights.h"

#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "../error_code.h"
#include "../temporary_directory.h"
#include "safetensors/header.h"
#include "tensor/convert.h"
#include "tiny_model.h"

namespace branchmerge::sft {
namespace {

struct Tensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  Floats values;
};

std::string file_of(const std::vector<Tensor>& tensors) {
  std::vector<TensorLayout> layouts;
  std::string data;
  for (const Tensor& tensor : tensors) {
    std::string bytes(tensor.values.size() * dtype_bits(tensor.dtype) / 8, '\0');
    (void)convert_elements(DType::F32, reinterpret_cast<const std::byte*>(tensor.values.data()), tensor.dtype,
                           reinterpret_cast<std::byte*>(bytes.data()), tensor.values.size());
    layouts.push_back({tensor.name, tensor.dtype, tensor.shape, bytes.size()});
    data += bytes;
  }
  return serialize_header(layouts, {}, 8) + data;
}

/// All tensors of the model with small integers, which every dtype holds exactly.
std::vector<Tensor> tensors_of(const ParameterLayout& layout, const std::vector<DType>& dtypes) {
  std::vector<Tensor> tensors;
  for (const Parameter& parameter : layout.parameters) {
    Floats values = random_floats(parameter.elements(), uint32_t(tensors.size()), 20);
    for (float& value : values) value = std::round(value);
    tensors.push_back({parameter.name, dtypes[tensors.size() % dtypes.size()], parameter.shape, values});
  }
  return tensors;
}

struct Model {
  ModelConfig config;
  ParameterLayout layout;
  std::vector<Tensor> tensors;

  explicit Model(Family family, const std::vector<DType>& dtypes = {DType::F32})
      : config(tiny_config(family)), layout(parameter_layout(config)), tensors(tensors_of(layout, dtypes)) {}

  Blocks blocks() const {
    Blocks result = zero_blocks(layout);
    for (size_t i = 0; i < tensors.size(); i++)
      std::copy(tensors[i].values.begin(), tensors[i].values.end(),
                result[layout.parameters[i].block].begin() + ptrdiff_t(layout.parameters[i].offset));
    return result;
  }
};

Blocks read_all(const std::string& directory, const Model& model) {
  const CheckpointWeights weights(directory, model.config, model.layout);
  Blocks blocks = zero_blocks(model.layout);
  for (size_t block = 0; block < blocks.size(); block++) weights.read(block, 0, blocks[block]);
  return blocks;
}

TEST_CASE("weights of every dtype are read into their blocks") {
  const TemporaryDirectory directory;
  for (const Family family : {Family::kQwen2, Family::kLlama, Family::kQwen3}) {
    Model model(family, {DType::F32, DType::BF16, DType::F16});
    std::reverse(model.tensors.begin(), model.tensors.end());  // the file's order does not matter
    directory.write("model.safetensors", file_of(model.tensors));
    std::reverse(model.tensors.begin(), model.tensors.end());
    CHECK(read_all(directory.file(""), model) == model.blocks());
  }
}

TEST_CASE("any slice of a block can be read, also beyond its end") {
  const TemporaryDirectory directory;
  const Model model(Family::kQwen2, {DType::BF16});
  directory.write("model.safetensors", file_of(model.tensors));
  const CheckpointWeights weights(directory.file(""), model.config, model.layout);
  Floats block = model.blocks()[1];
  block.resize(block.size() + 40);
  for (const size_t size : {1, 7, 100, 333})
    for (size_t begin = 0; begin < block.size(); begin += size) {
      Floats slice(std::min(size, block.size() - begin), -1);
      weights.read(1, begin, slice);
      CHECK(std::equal(slice.begin(), slice.end(), block.begin() + ptrdiff_t(begin)));
    }
}

TEST_CASE("weights are read from shards") {
  const TemporaryDirectory directory;
  const Model model(Family::kLlama);
  const auto middle = model.tensors.begin() + ptrdiff_t(model.tensors.size() / 2);
  directory.write("a.safetensors", file_of({model.tensors.begin(), middle}));
  directory.write("b.safetensors", file_of({middle, model.tensors.end()}));
  std::string map;
  for (size_t i = 0; i < model.tensors.size(); i++)
    map += (i ? ",\"" : "\"") + model.tensors[i].name + "\":\"" +
           (i < model.tensors.size() / 2 ? "a.safetensors" : "b.safetensors") + "\"";
  const auto write_index = [&](const std::string& weight_map) {
    directory.write("model.safetensors.index.json", R"({"weight_map":{)" + weight_map + "}}");
  };
  const auto code = [&] { return error_code([&] { read_all(directory.file(""), model); }); };
  write_index(map);
  CHECK(read_all(directory.file(""), model) == model.blocks());

  write_index(map + R"(,"more":"a.safetensors")");
  CHECK(code() == "ERR_INDEX_MISMATCH");
  write_index(map.substr(map.find(',') + 1));
  CHECK(code() == "ERR_INDEX_MISMATCH");
  write_index(map + R"(,"more":"c.safetensors")");
  CHECK(code() == "ERR_INDEX_SHARD_MISSING");
  directory.write("b.safetensors", file_of(model.tensors));
  write_index(map);
  CHECK(code() == "ERR_INDEX_MISMATCH");
}

TEST_CASE("a head that lies in the file of a tied model is passed over, as are old rotary buffers") {
  const TemporaryDirectory directory;
  Model model(Family::kLlama);
  model.tensors.push_back({"lm_head.weight", DType::F32, {11, 8}, Floats(88, 3)});
  model.tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::F32, {1}, {1}});
  directory.write("model.safetensors", file_of(model.tensors));
  model.tensors.resize(model.tensors.size() - 2);
  CHECK(read_all(directory.file(""), model) == model.blocks());
}

TEST_CASE("checkpoints that are not of the model") {
  const TemporaryDirectory directory;
  const Model model(Family::kQwen2);
  const auto failure = [&](const std::vector<Tensor>& tensors) {
    directory.write("model.safetensors", file_of(tensors));
    return error_code([&] { read_all(directory.file(""), model); }) + " " +
           error_message([&] { read_all(directory.file(""), model); });
  };
  const auto starts_with = [](const std::string& text, const std::string& start) {
    return text.find(start) == 0;
  };
  CHECK(error_code([&] { read_all(directory.file(""), model); }) == "ERR_CHECKPOINT_NOT_FOUND");

  std::vector<Tensor> tensors = model.tensors;
  tensors.pop_back();
  CHECK(starts_with(failure(tensors), "ERR_TENSOR_MISSING"));
  CHECK(failure(tensors).find("lm_head.weight") != std::string::npos);

  tensors = model.tensors;
  tensors.push_back({"model.layers.0.mlp.experts.0.up_proj.weight", DType::F32, {1}, {1}});
  CHECK(starts_with(failure(tensors), "ERR_MODEL_UNSUPPORTED"));
  CHECK(failure(tensors).find("experts") != std::string::npos);

  tensors = model.tensors;
  std::swap(tensors[0].shape[0], tensors[0].shape[1]);
  CHECK(starts_with(failure(tensors), "ERR_SHAPE_MISMATCH"));
  CHECK(failure(tensors).find("[11, 8]") != std::string::npos);
  CHECK(failure(tensors).find("[8, 11]") != std::string::npos);

  tensors = model.tensors;
  tensors[1].dtype = DType::F64;
  CHECK(starts_with(failure(tensors), "ERR_DTYPE_UNSUPPORTED"));
}

}  // namespace
}  // namespace branchmerge::sft
