#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/page_buffer.h"

namespace branchmerge {

/// Memory for the results of steps that later steps look at, reused from tensor to tensor; for one tensor at
/// a time.
class ResultMemory {
 public:
  explicit ResultMemory(uint64_t limit) : limit_(limit) {}

  /// Room for a result of the tensor at hand, the `index`th of them; empty where the limit leaves none.
  std::span<std::byte> room(size_t index, uint64_t bytes) {
    if (buffers_.size() <= index) buffers_.resize(index + 1);
    std::unique_ptr<PageBuffer>& buffer = buffers_[index];
    if (buffer == nullptr || buffer->size() < bytes) {
      buffer.reset();
      uint64_t used = 0;
      for (const std::unique_ptr<PageBuffer>& each : buffers_) used += each ? each->size() : 0;
      if (bytes > limit_ - used) return {};
      buffer = std::make_unique<PageBuffer>(bytes);
    }
    return {buffer->data(), bytes};
  }

 private:
  const uint64_t limit_;
  std::vector<std::unique_ptr<PageBuffer>> buffers_;
};

}  // namespace branchmerge
