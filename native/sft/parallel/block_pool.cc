#include "sft/parallel/block_pool.h"

#include <algorithm>
#include <map>
#include <string>

#include "base/error.h"

namespace branchmerge::sft {

std::vector<uint64_t> BlockPool::buffer_lengths(const std::vector<uint64_t>& floats) {
  std::map<uint64_t, size_t> blocks_of_length;
  for (const uint64_t length : floats) blocks_of_length[length]++;
  std::vector<uint64_t> lengths;
  for (const auto& [length, blocks] : blocks_of_length)
    lengths.insert(lengths.end(), blocks > 1 ? 2 : 1, length);
  return lengths;
}

uint64_t BlockPool::bytes_of(const std::vector<uint64_t>& floats) {
  return BlockArray::bytes_of(buffer_lengths(floats));
}

BlockPool::BlockPool(const std::vector<uint64_t>& floats) : floats_(floats), memory_(buffer_lengths(floats)) {
  for (const uint64_t length : buffer_lengths(floats)) buffers_.emplace_back(length);
}

BlockPool::Taken BlockPool::take(size_t block) {
  Buffer* const own = find(block);
  Buffer& buffer = own ? *own : oldest_free(block);
  buffer.block = block;
  buffer.holds++;
  buffer.last_use = ++uses_;
  return {.data = data_of(buffer), .kept = own != nullptr};
}

float* BlockPool::release(size_t block) {
  Buffer* const buffer = find(block);
  if (!buffer || buffer->holds == 0)
    throw Error("ERR_INTERNAL", "Block " + std::to_string(block) + " is released but was not acquired");
  return --buffer->holds == 0 ? data_of(*buffer) : nullptr;
}

void BlockPool::forget(size_t block) {
  if (Buffer* const buffer = find(block)) buffer->block.reset();
}

bool BlockPool::any_held() const {
  return std::any_of(buffers_.begin(), buffers_.end(), [](const Buffer& buffer) { return buffer.holds > 0; });
}

BlockPool::Buffer* BlockPool::find(size_t block) {
  const auto found = std::find_if(buffers_.begin(), buffers_.end(),
                                  [&](const Buffer& buffer) { return buffer.block == block; });
  return found == buffers_.end() ? nullptr : &*found;
}

BlockPool::Buffer& BlockPool::oldest_free(size_t block) {
  Buffer* oldest = nullptr;
  for (Buffer& buffer : buffers_)
    if (buffer.floats == floats_[block] && buffer.holds == 0 &&
        (!oldest || buffer.last_use < oldest->last_use))
      oldest = &buffer;
  if (!oldest)
    throw Error("ERR_INTERNAL", "Expected a free buffer for block " + std::to_string(block) +
                                    " but more blocks of its length are held than there are buffers");
  return *oldest;
}

}  // namespace branchmerge::sft
