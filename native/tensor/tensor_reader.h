#pragma once
#include <cstddef>
#include <cstdint>

namespace branchmerge {

/// Where a tensor's bytes come from: memory, a file, a file still being read, another operation.
class TensorReader {
 public:
  virtual ~TensorReader() = default;
  /// Bytes [begin, end) of the tensor, without any alignment; they stay until the same worker's next call.
  /// Waits for them where it must, and throws when they will not come. Thread-safe for different workers.
  virtual const std::byte* fetch(size_t worker, uint64_t begin, uint64_t end) = 0;
};

}  // namespace branchmerge
