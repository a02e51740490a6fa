#include "sft/model/flops.h"

namespace branchmerge::sft {

double model_flops(const ModelConfig& config, std::span<const uint32_t> segments, uint64_t targets) {
  const auto hidden = double(config.hidden_size);
  const double projections = double(config.qkv_width() + config.query_width()) * hidden;
  const double mlp = 3 * double(config.intermediate_size) * hidden;
  const double head = double(config.vocabulary_size) * hidden;
  double squares = 0;  // half of a segment's pairs of rows are seen, at 12 operations for each element
  for (size_t i = 0; i + 1 < segments.size(); i++) {
    const double length = segments[i + 1] - segments[i];
    squares += length * length;
  }
  const auto layers = double(config.layers);
  return 6 * layers * (projections + mlp) * double(segments.back()) + 6 * head * double(targets) +
         6 * layers * double(config.query_width()) * squares;
}

}  // namespace branchmerge::sft
