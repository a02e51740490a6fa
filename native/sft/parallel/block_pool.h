#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "sft/parallel/block_array.h"

namespace branchmerge::sft {

/// A few buffers in which blocks are whole for a while. A length that one block has gets one buffer, a length
/// that several have (the layers) two, so that one can be held while the next is taken. A block that comes
/// back before its buffer served another finds it as it left it.
class BlockPool {
 public:
  explicit BlockPool(const std::vector<uint64_t>& floats);

  struct Taken {
    float* data;
    bool kept;  ///< the buffer holds what this block left there
  };

  /// Holds the block's buffer until release; calls nest. Throws ERR_INTERNAL when all buffers of its length
  /// are held.
  Taken take(size_t block);

  /// Returns the buffer when this was the last hold, else nullptr.
  float* release(size_t block);

  /// What this block left in its buffer, which nobody holds, is void.
  void forget(size_t block);

  bool any_held() const;
  uint64_t bytes() const { return memory_.bytes(); }

  /// What a pool for blocks of these lengths allocates.
  static uint64_t bytes_of(const std::vector<uint64_t>& floats);

 private:
  struct Buffer {
    explicit Buffer(uint64_t length) : floats(length) {}
    uint64_t floats;
    std::optional<size_t> block;  // whose content it has
    size_t holds = 0;
    uint64_t last_use = 0;
  };

  Buffer* find(size_t block);
  Buffer& oldest_free(size_t block);
  float* data_of(const Buffer& buffer) const { return memory_.block(&buffer - buffers_.data()); }
  static std::vector<uint64_t> buffer_lengths(const std::vector<uint64_t>& floats);

  std::vector<uint64_t> floats_;
  std::vector<Buffer> buffers_;
  BlockArray memory_;
  uint64_t uses_ = 0;
};

}  // namespace branchmerge::sft
