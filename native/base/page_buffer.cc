#include "base/page_buffer.h"

#include <sys/mman.h>

#include <string>

#include "base/error.h"

namespace branchmerge {

PageBuffer::PageBuffer(size_t bytes) : size_(bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw Error("ERR_OUT_OF_MEMORY", "Cannot reserve " + std::to_string(bytes >> 20) +
                                         " MiB for the tensors in flight. Free some memory and run again.");
  madvise(memory, bytes, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(memory);
}

void PageBuffer::populate(size_t begin, size_t end) const {
  constexpr int kPopulateWrite =
      23;  // MADV_POPULATE_WRITE, since Linux 5.14; older kernels refuse, and that is all
  madvise(data_ + begin, end - begin, kPopulateWrite);
}

PageBuffer::~PageBuffer() { munmap(data_, size_); }

}  // namespace branchmerge
