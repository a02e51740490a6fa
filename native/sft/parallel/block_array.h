#pragma once
#include <cstdint>
#include <vector>

#include "base/page_buffer.h"

namespace branchmerge::sft {

/// Floats for each block, one block behind the other; zero at first.
class BlockArray {
 public:
  /// `floats[b]` is the length of block b.
  explicit BlockArray(const std::vector<uint64_t>& floats);

  float* block(size_t index) const { return data() + begins_[index]; }
  float* data() const { return reinterpret_cast<float*>(memory_.data()); }
  uint64_t floats() const { return begins_.back(); }
  uint64_t bytes() const { return memory_.size(); }

  /// What an array of these lengths allocates.
  static uint64_t bytes_of(const std::vector<uint64_t>& floats);

 private:
  std::vector<uint64_t> begins_;  // and the end
  PageBuffer memory_;
};

}  // namespace branchmerge::sft
