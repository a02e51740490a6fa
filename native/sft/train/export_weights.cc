#include "sft/train/export_weights.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/output_writer.h"
#include "safetensors/header.h"
#include "safetensors/json.h"
#include "sft/train/durable_files.h"
#include "tensor/convert.h"

namespace branchmerge::sft {
namespace {

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";
// As the reference writer pads a header.
constexpr uint64_t kHeaderAlignment = 8;

struct Shard {
  std::string name, header;
  std::vector<TensorLayout> tensors;
  uint64_t bytes = 0;  // of the tensors
};

/// Where a parameter goes.
struct Place {
  size_t shard;
  uint64_t begin;  // byte position in the file
};

std::string five_digits(size_t number) {
  const std::string digits = std::to_string(number);
  return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

bool is_shard_name(std::string_view name) {
  constexpr std::string_view kPattern = "model-#####-of-#####.safetensors";
  return std::equal(name.begin(), name.end(), kPattern.begin(), kPattern.end(),
                    [](char letter, char pattern) {
                      return pattern == '#' ? letter >= '0' && letter <= '9' : letter == pattern;
                    });
}

std::string too_large(const std::string& name, uint64_t index, float value, DType dtype) {
  return does_not_fit("Tensor '" + name + "': the trained value of element " + std::to_string(index) + " is",
                      value, dtype);
}

/// The plan of the files and the writing of them: rank 0's part.
class WeightFiles {
 public:
  WeightFiles(const ExportOptions& options, const ParameterLayout& layout, WorkerPool& workers)
      : options_(options), workers_(workers) {
    for (const Parameter& parameter : layout.parameters) place(parameter);
    std::vector<OutputWriter::Output> outputs;
    for (size_t i = 0; i < shards_.size(); i++) outputs.push_back(finish_shard(i));
    for (Place& place : places_) place.begin += shards_[place.shard].header.size();
    remove_path(options.staging);
    make_directories(options.staging);
    // Each worker holds a block, and as many again are on their way to the disk.
    writer_ = std::make_unique<OutputWriter>(std::move(outputs), 2 * workers.workers() + 2);
  }

  /// `values`: the parameter with this number.
  void write(size_t parameter, const std::string& name, const float* values, uint64_t elements) {
    const Place& place = places_[parameter];
    if (place.begin == shards_[place.shard].header.size()) write_header(place.shard);
    const uint64_t element_bytes = dtype_bits(options_.dtype) / 8;
    const uint64_t end = place.begin + elements * element_bytes;
    const uint64_t first_block = place.begin / kWriteBlock, last_block = (end - 1) / kWriteBlock;
    workers_.for_each(last_block - first_block + 1, [&](size_t, size_t i) {
      const uint64_t from = std::max(place.begin, (first_block + i) * kWriteBlock);
      const uint64_t to = std::min(end, (first_block + i + 1) * kWriteBlock);
      const float* const begin = values + (from - place.begin) / element_bytes;
      std::byte* const out = writer_->open(place.shard, from, to);
      const size_t count = (to - from) / element_bytes;
      const size_t found =
          convert_elements(DType::F32, reinterpret_cast<const std::byte*>(begin), options_.dtype, out, count);
      if (found < count)
        throw Error("ERR_NON_FINITE", too_large(name, (from - place.begin) / element_bytes + found,
                                                begin[found], options_.dtype));
      writer_->close(place.shard, from, to);
    });
  }

  /// Everything is on the disk, and then in its place.
  void publish() {
    writer_->finish();
    if (shards_.size() > 1) replace_file(options_.staging + "/" + kIndexName, index_json(), true);
    sync_directory(options_.staging);
    remove_earlier_weights();
    for (const Shard& shard : shards_) move(shard.name);
    sync_directory(options_.directory);
    if (shards_.size() > 1) move(kIndexName);
    sync_directory(options_.directory);
    remove_path(options_.staging);
  }

 private:
  void place(const Parameter& parameter) {
    const uint64_t bytes = parameter.elements() * (dtype_bits(options_.dtype) / 8);
    if (shards_.empty() ||
        (shards_.back().bytes > 0 && shards_.back().bytes + bytes > options_.max_shard_bytes))
      shards_.emplace_back();
    Shard& shard = shards_.back();
    places_.push_back({shards_.size() - 1, shard.bytes});
    shard.tensors.push_back({parameter.name, options_.dtype, parameter.shape, bytes});
    shard.bytes += bytes;
  }

  OutputWriter::Output finish_shard(size_t index) {
    Shard& shard = shards_[index];
    shard.name = shards_.size() == 1 ? kSingleName
                                     : "model-" + five_digits(index + 1) + "-of-" +
                                           five_digits(shards_.size()) + ".safetensors";
    shard.header = serialize_header(shard.tensors, {{"format", "pt"}}, kHeaderAlignment);
    return {options_.staging + "/" + shard.name, shard.header.size() + shard.bytes};
  }

  void write_header(size_t index) {
    const std::string& header = shards_[index].header;
    for (uint64_t from = 0; from < header.size();) {
      const uint64_t to = std::min<uint64_t>(header.size(), (from / kWriteBlock + 1) * kWriteBlock);
      std::byte* const out = writer_->open(index, from, to);
      std::copy(header.begin() + ptrdiff_t(from), header.begin() + ptrdiff_t(to),
                reinterpret_cast<char*>(out));
      writer_->close(index, from, to);
      from = to;
    }
  }

  std::string index_json() const {
    std::map<std::string, std::string> files;
    uint64_t total = 0;
    for (const Shard& shard : shards_) {
      total += shard.bytes;
      for (const TensorLayout& tensor : shard.tensors) files[tensor.name] = shard.name;
    }
    std::string json =
        "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(total) + "\n  },\n  \"weight_map\": {";
    const char* separator = "\n    ";
    for (const auto& [tensor, file] : files) {
      json += separator;
      append_json_string(json, tensor);
      json += ": ";
      append_json_string(json, file);
      separator = ",\n    ";
    }
    return json + "\n  }\n}\n";
  }

  /// Weights of an earlier run must not be taken for these, nor mixed with them. The names that make a
  /// directory look complete go first.
  void remove_earlier_weights() const {
    for (const char* name : {kIndexName, kSingleName}) remove_path(options_.directory + "/" + name);
    std::vector<std::string> shards;
    for (const std::string& name : list_names(options_.directory))
      if (is_shard_name(name)) shards.push_back(options_.directory + "/" + name);
    for (const std::string& path : shards) remove_path(path);
  }

  void move(const std::string& name) const {
    rename_path(options_.staging + "/" + name, options_.directory + "/" + name);
  }

  const ExportOptions& options_;
  WorkerPool& workers_;
  std::vector<Shard> shards_;
  std::vector<Place> places_;  // of each parameter
  std::unique_ptr<OutputWriter> writer_;
};

}  // namespace

std::string find_too_large(const ParameterStore& store, DType dtype) {
  constexpr size_t kCount = 1 << 14;
  std::vector<std::byte> converted(kCount * sizeof(float));
  for (const StatePiece& piece : store.state())
    for (uint64_t begin = 0; begin < piece.count; begin += kCount) {
      const size_t count = std::min<uint64_t>(kCount, piece.count - begin);
      const float* const values = piece.weight + begin;
      const size_t found = convert_elements(DType::F32, reinterpret_cast<const std::byte*>(values), dtype,
                                            converted.data(), count);
      if (found < count)
        return too_large(piece.parameter->name, piece.offset + begin + found, values[found], dtype);
    }
  return {};
}

void export_weights(const ExportOptions& options, const ParameterLayout& layout, WeightSource& weights,
                    Collectives& collectives, WorkerPool& workers) {
  std::unique_ptr<WeightFiles> files;
  if (collectives.rank() == 0) files = std::make_unique<WeightFiles>(options, layout, workers);
  size_t held = layout.block_floats.size();
  const float* block = nullptr;
  for (size_t i = 0; i < layout.parameters.size(); i++) {
    const Parameter& parameter = layout.parameters[i];
    if (parameter.block != held) {
      if (block) weights.release(held);
      held = parameter.block;
      block = weights.acquire(held);
    }
    if (files) files->write(i, parameter.name, block + parameter.offset, parameter.elements());
  }
  if (block) weights.release(held);
  if (files) files->publish();
  collectives.barrier();
}

}  // namespace branchmerge::sft
