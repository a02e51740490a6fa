#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "safetensors/header.h"
#include "sft/model/parameters.h"

namespace branchmerge::sft {

/// The weights of a Hugging Face checkpoint (model.safetensors, or shards with their index), read as float32
/// by block. Opening validates every header against the layout: ERR_TENSOR_MISSING, ERR_SHAPE_MISMATCH,
/// ERR_DTYPE_UNSUPPORTED (other than F32, BF16, F16), ERR_MODEL_UNSUPPORTED for a tensor that the model has
/// not, and the codes of read_header and parse_index. lm_head of a tied model is passed over, as transformers
/// does.
class CheckpointWeights {
 public:
  CheckpointWeights(const std::string& directory, const ModelConfig& config, const ParameterLayout& layout);

  /// values = floats [begin, begin + values.size()) of the block; zeros between its parameters and beyond its
  /// end. Any slice will do, so a rank reads its own shard only. Thread-safe.
  void read(size_t block, size_t begin, std::span<float> values) const;

 private:
  struct Source {
    Parameter parameter;
    size_t file;
    DType dtype;
    uint64_t begin;  // byte position in the file
  };

  void read_source(const Source& source, size_t first, std::span<float> values) const;

  std::vector<File> files_;
  std::vector<std::vector<Source>> blocks_;  // by offset
};

}  // namespace branchmerge::sft
