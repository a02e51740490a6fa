#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sft/model/config.h"

namespace branchmerge::sft {

/// One trained tensor, under its name in a Hugging Face checkpoint.
struct Parameter {
  std::string name;
  std::vector<uint64_t> shape;
  size_t block;
  size_t offset;   // floats from the start of the block; a multiple of kParameterAlignment
  bool is_matrix;  // two dimensions: weight decay is for these

  size_t elements() const;
};

inline constexpr size_t kParameterAlignment = 16;  // floats: one cache line

/// Where each parameter lives. Block 0 is the embedding, blocks 1 … layers are the layers, the last block is
/// the final norm and, when it is not tied, lm_head. Floats of a block between its parameters are zero and
/// stay so.
struct ParameterLayout {
  std::vector<Parameter> parameters;  // by block and offset
  std::vector<size_t> block_floats;   // multiples of kParameterAlignment

  /// The parameter of this name, or null.
  const Parameter* find(std::string_view name) const;
};

ParameterLayout parameter_layout(const ModelConfig& config);

}  // namespace branchmerge::sft
