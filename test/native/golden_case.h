#pragma once
// A golden case of test/golden: a pair of tensors and the options of their fusion.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "fusion/options.h"
#include "safetensors/json.h"
#include "safetensors/read_header.h"
#include "tensor/tensor_operator.h"

namespace branchmerge {

struct Pair {
  DType dtype;
  std::vector<uint64_t> shape;
  std::vector<std::byte> left, right;
  OperandInfo info() const {
    uint64_t elements = 1;
    for (const uint64_t size : shape) elements *= size;
    return {"w", dtype, shape, elements};
  }
  size_t size() const { return dtype_bits(dtype) / 8; }
};

inline Pair read_golden(const std::filesystem::path& directory) {
  Pair pair{};
  for (const char* side : {"left", "right"}) {
    const std::string path = directory / (std::string(side) + ".safetensors");
    const TensorInfo tensor = read_header(path).header.tensors.at(0);
    pair.dtype = tensor.dtype;
    pair.shape = tensor.shape;
    std::vector<std::byte>& bytes = side[0] == 'l' ? pair.left : pair.right;
    bytes.resize(tensor.end - tensor.begin);
    std::ifstream file(path, std::ios::binary);
    file.seekg(std::streamoff(tensor.begin));
    file.read(reinterpret_cast<char*>(bytes.data()), std::streamsize(bytes.size()));
    if (!file.good()) throw std::runtime_error(path + " cannot be read");
  }
  return pair;
}

inline FusionOptions read_options(const std::filesystem::path& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  FusionOptions options;
  JsonReader json(text);
  std::string key;
  for (JsonToken token = json.next(); token != JsonToken::kEnd; token = json.next()) {
    const std::string value(json.text());
    if (token == JsonToken::kKey)
      key = value;
    else if (key == "scope")
      options.scope = value == "tensor" ? Scope::kTensor : Scope::kRow;
    else if (key == "divergence")
      options.divergence = value == "left||right" ? Divergence::kLeftRight : Divergence::kRightLeft;
    else if (key == "score")
      options.score = value == "signed" ? Score::kSigned : Score::kAbsolute;
    else if (key == "gate")
      options.gate = value == "soft" ? Gate::kSoft : value == "gt" ? Gate::kGreater : Gate::kGreaterEqual;
    else if (key == "quantile")
      options.quantile = value == "linear" ? Quantile::kLinear : Quantile::kLower;
    else if (key == "lambda")
      options.lambda = std::stod(value);
    else if (key == "epsilon")
      options.epsilon = std::stod(value);
    if (token != JsonToken::kKey && key == "epsilon") break;
  }
  return options;
}

}  // namespace branchmerge
