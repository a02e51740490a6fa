#pragma once
#include <cstddef>

namespace branchmerge {

/// Anonymous memory that begins on a page, in 2 MiB pages where the system has them. Zeroed, and not resident
/// before it is touched. Throws ERR_OUT_OF_MEMORY.
class PageBuffer {
 public:
  explicit PageBuffer(size_t bytes);
  ~PageBuffer();
  PageBuffer(const PageBuffer&) = delete;
  PageBuffer& operator=(const PageBuffer&) = delete;

  /// Makes bytes [begin, end) resident now, so that nobody waits for their pages later. Only a hint.
  void populate(size_t begin, size_t end) const;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_;
  size_t size_;
};

}  // namespace branchmerge
