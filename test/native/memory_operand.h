#pragma once
#include <cstddef>
#include <memory>

#include "tensor/tensor_reader.h"

namespace branchmerge {

/// Exactly so many bytes, at an odd address: one step outside is a sanitizer's report.
class TightBuffer {
 public:
  explicit TightBuffer(size_t size) : memory_(new std::byte[size + 1]), size_(size) {}
  std::byte* data() const { return memory_.get() + 1; }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  size_t size_;
};

/// A tensor in memory.
class Memory final : public TensorReader {
 public:
  explicit Memory(const std::byte* bytes) : bytes_(bytes) {}
  const std::byte* fetch(size_t, uint64_t begin, uint64_t) override { return bytes_ + begin; }

 private:
  const std::byte* bytes_;
};

}  // namespace branchmerge
