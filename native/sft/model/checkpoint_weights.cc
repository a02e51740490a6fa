#include "sft/model/checkpoint_weights.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "safetensors/index.h"
#include "safetensors/json.h"
#include "safetensors/read_header.h"
#include "tensor/convert.h"

namespace branchmerge::sft {
namespace {

constexpr uint64_t kMaxIndexBytes = 64 << 20;
/// Bytes that are read from a file at a time and then converted.
constexpr size_t kReadBytes = 1 << 20;

/// A tensor in one of the files.
struct StoredTensor {
  size_t file;
  TensorInfo info;
};

using StoredTensors = std::unordered_map<std::string, StoredTensor>;

struct Files {
  std::vector<std::string> paths;
  StoredTensors tensors;
};

Index read_index(const std::string& path) {
  const File file = File::open_for_reading(path);
  const uint64_t bytes = file.size();
  if (bytes > kMaxIndexBytes)
    throw Error("ERR_INDEX_JSON", path + ": expected at most " + std::to_string(kMaxIndexBytes) +
                                      " bytes but received " + std::to_string(bytes));
  std::vector<std::byte> text(bytes);
  file.read_exactly(text, 0);
  return parse_index(path, text);
}

void add_file(const std::string& path, Files& files) {
  for (TensorInfo& tensor : read_header(path).header.tensors) {
    const std::string name = tensor.name;
    const bool added =
        files.tensors.try_emplace(name, StoredTensor{files.paths.size(), std::move(tensor)}).second;
    if (!added)
      throw Error("ERR_INDEX_MISMATCH",
                  path + ": tensor " + quote_for_message(name) + " is in another shard, too");
  }
  files.paths.push_back(path);
}

std::string path_of(const std::string& directory, const std::string& name) { return directory + "/" + name; }

void add_shard(const std::string& index_path, const std::string& path, Files& files) {
  if (!std::filesystem::exists(path))
    throw Error("ERR_INDEX_SHARD_MISSING", index_path + ": expected " + path + " but there is no such file");
  add_file(path, files);
}

void check_place(const std::string& index_path, const std::string& tensor, const std::string& path,
                 const Files& files) {
  const auto found = files.tensors.find(tensor);
  if (found == files.tensors.end() || files.paths[found->second.file] != path)
    throw Error("ERR_INDEX_MISMATCH", index_path + ": expected tensor " + quote_for_message(tensor) + " in " +
                                          path + " but it is not there");
}

/// Every shard that the index names, which must hold exactly the tensors that the index places there.
Files open_shards(const std::string& directory, const std::string& index_path) {
  const Index index = read_index(index_path);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : index.weight_map) names.insert(shard);
  Files files;
  for (const std::string& name : names) add_shard(index_path, path_of(directory, name), files);
  for (const auto& [tensor, shard] : index.weight_map)
    check_place(index_path, tensor, path_of(directory, shard), files);
  if (index.weight_map.size() != files.tensors.size())
    throw Error("ERR_INDEX_MISMATCH", index_path + ": expected " + std::to_string(index.weight_map.size()) +
                                          " tensors in the shards but they hold " +
                                          std::to_string(files.tensors.size()));
  return files;
}

Files open_files(const std::string& directory) {
  const std::string single = directory + "/model.safetensors", index = single + ".index.json";
  if (std::filesystem::exists(single)) {
    Files files;
    add_file(single, files);
    return files;
  }
  if (std::filesystem::exists(index)) return open_shards(directory, index);
  throw Error("ERR_CHECKPOINT_NOT_FOUND", directory + ": expected model.safetensors or " +
                                              "model.safetensors.index.json, but there is neither");
}

std::string describe(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void check_tensor(const std::string& path, const TensorInfo& stored, const Parameter& parameter) {
  if (stored.shape != parameter.shape)
    throw Error("ERR_SHAPE_MISMATCH", path + ": expected shape " + describe(parameter.shape) + " for " +
                                          parameter.name + " but received " + describe(stored.shape));
  if (stored.dtype != DType::F32 && stored.dtype != DType::BF16 && stored.dtype != DType::F16)
    throw Error("ERR_DTYPE_UNSUPPORTED", path + ": expected F32, BF16 or F16 for " + parameter.name +
                                             " but received " + std::string(dtype_name(stored.dtype)));
}

/// What may lie in a checkpoint beside the parameters, as transformers has it: the head of a tied model, and
/// the buffer that old Llama checkpoints carry.
bool is_passed_over(const std::string& name, bool tied) {
  constexpr std::string_view kBuffer = "rotary_emb.inv_freq";
  return (tied && name == "lm_head.weight") || std::string_view(name).ends_with(kBuffer);
}

}  // namespace

CheckpointWeights::CheckpointWeights(const std::string& directory, const ModelConfig& config,
                                     const ParameterLayout& layout)
    : blocks_(layout.block_floats.size()) {
  Files files = open_files(directory);
  for (const Parameter& parameter : layout.parameters) {
    const auto found = files.tensors.find(parameter.name);
    if (found == files.tensors.end())
      throw Error("ERR_TENSOR_MISSING", directory + ": expected tensor " + parameter.name + " of shape " +
                                            describe(parameter.shape) + " but there is none");
    const auto& [file, stored] = found->second;
    check_tensor(files.paths[file], stored, parameter);
    blocks_[parameter.block].push_back({parameter, file, stored.dtype, stored.begin});
    files.tensors.erase(found);
  }
  for (const auto& [name, stored] : files.tensors)
    if (!is_passed_over(name, config.tied))
      throw Error("ERR_MODEL_UNSUPPORTED",
                  files.paths[stored.file] + ": tensor " + quote_for_message(name) +
                      " does not belong to this model. Check model_type in config.json");
  for (const std::string& path : files.paths) files_.push_back(File::open_for_reading(path));
}

void CheckpointWeights::read(size_t block, size_t begin, std::span<float> values) const {
  std::fill(values.begin(), values.end(), 0.0F);
  const size_t end = begin + values.size();
  for (const Source& source : blocks_[block]) {
    const size_t first = std::max(begin, source.parameter.offset);
    const size_t last = std::min(end, source.parameter.offset + source.parameter.elements());
    if (first < last)
      read_source(source, first - source.parameter.offset, values.subspan(first - begin, last - first));
  }
}

void CheckpointWeights::read_source(const Source& source, size_t first, std::span<float> values) const {
  const size_t bytes = dtype_bits(source.dtype) / 8;
  std::vector<std::byte> buffer(std::min(kReadBytes, values.size() * bytes));
  while (!values.empty()) {
    const size_t count = std::min(values.size(), buffer.size() / bytes);
    files_[source.file].read_exactly(std::span(buffer).first(count * bytes), source.begin + first * bytes);
    // Never from a wider dtype: F64 was refused.
    (void)convert_elements(source.dtype, buffer.data(), DType::F32,
                           reinterpret_cast<std::byte*>(values.data()), count);
    values = values.subspan(count);
    first += count;
  }
}

}  // namespace branchmerge::sft
