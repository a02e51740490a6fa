#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace branchmerge::sft {

/// How the blocks of a model are shared out to processes. Each block's array is padded to size() equal
/// slices, and slice r of every block is process r's. What of it is kept only where it belongs is the ZeRO
/// stage's choice (Rajbhandari et al. 2020): 1 the optimizer's state, 2 the gradients, too, 3 the weights,
/// too.
class Sharding {
 public:
  /// `zero_stage` is 0 … 3, else ERR_INVALID_ARGUMENT. On one process every stage is 0: there is nothing to
  /// share.
  Sharding(const std::vector<size_t>& block_floats, int zero_stage, size_t rank, size_t size);

  bool shards_optimizer() const { return stage_ >= 1; }
  bool shards_gradients() const { return stage_ >= 2; }
  bool shards_weights() const { return stage_ >= 3; }

  size_t rank() const { return rank_; }
  size_t blocks() const { return slices_.size(); }
  /// Floats of a slice of the block: a multiple of 16, so that slices begin on cache lines.
  uint64_t slice(size_t block) const { return slices_[block]; }
  /// Where this process's slice of the block begins.
  uint64_t slice_begin(size_t block) const { return rank_ * slices_[block]; }
  uint64_t padded(size_t block) const { return padded_[block]; }

  const std::vector<uint64_t>& slices() const { return slices_; }
  const std::vector<uint64_t>& padded() const { return padded_; }

 private:
  int stage_;
  size_t rank_;
  std::vector<uint64_t> slices_, padded_;
};

}  // namespace branchmerge::sft
