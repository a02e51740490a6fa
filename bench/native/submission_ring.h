#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

struct io_uring_sqe;
struct io_uring_cqe;

namespace branchmerge::bench {

/// io_uring by its three system calls, for one thread: reads and writes at positions, one completion at a
/// time. Kept apart from the product's own queue: a yardstick must not change with what it measures.
class SubmissionRing {
 public:
  /// Throws std::runtime_error where the kernel or a container forbids io_uring.
  explicit SubmissionRing(unsigned entries);
  ~SubmissionRing();
  SubmissionRing(const SubmissionRing&) = delete;
  SubmissionRing& operator=(const SubmissionRing&) = delete;

  /// Queues a request, sent at the next wait(). At most `entries` may be unfinished.
  void read(int descriptor, std::span<std::byte> buffer, uint64_t offset, uint64_t tag);
  void write(int descriptor, std::span<const std::byte> data, uint64_t offset, uint64_t tag);

  struct Completion {
    uint64_t tag;
    int result;  // bytes, or -errno
  };
  /// Sends what is queued and waits for the next completion.
  Completion wait();

 private:
  struct Area {
    void* address = nullptr;
    size_t bytes = 0;
  };
  Area map(size_t bytes, uint64_t offset);
  void push(uint8_t operation, int descriptor, const void* address, size_t bytes, uint64_t offset,
            uint64_t tag);
  void release();

  int descriptor_ = -1;
  Area submission_area_, completion_area_, entries_area_;
  unsigned* submission_tail_ = nullptr;
  unsigned submission_mask_ = 0;
  unsigned* submission_array_ = nullptr;
  unsigned* completion_head_ = nullptr;
  unsigned* completion_tail_ = nullptr;
  unsigned completion_mask_ = 0;
  io_uring_cqe* completions_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
  unsigned queued_ = 0;
};

}  // namespace branchmerge::bench
