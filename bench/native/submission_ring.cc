#include "submission_ring.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace branchmerge::bench {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string("io_uring: ") + what + ": " + std::strerror(errno));
}

unsigned* field(void* area, unsigned offset) {
  return reinterpret_cast<unsigned*>(static_cast<std::byte*>(area) + offset);
}

}  // namespace

SubmissionRing::SubmissionRing(unsigned entries) {
  io_uring_params parameters = {};
  descriptor_ = static_cast<int>(syscall(__NR_io_uring_setup, entries, &parameters));
  if (descriptor_ < 0) fail("cannot set up");
  try {
    const auto& sq = parameters.sq_off;
    const auto& cq = parameters.cq_off;
    submission_area_ = map(sq.array + parameters.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    completion_area_ = map(cq.cqes + parameters.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
    entries_area_ = map(parameters.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
    submission_tail_ = field(submission_area_.address, sq.tail);
    submission_mask_ = *field(submission_area_.address, sq.ring_mask);
    submission_array_ = field(submission_area_.address, sq.array);
    completion_head_ = field(completion_area_.address, cq.head);
    completion_tail_ = field(completion_area_.address, cq.tail);
    completion_mask_ = *field(completion_area_.address, cq.ring_mask);
    completions_ = reinterpret_cast<io_uring_cqe*>(field(completion_area_.address, cq.cqes));
    entries_ = static_cast<io_uring_sqe*>(entries_area_.address);
  } catch (...) {
    release();
    throw;
  }
}

SubmissionRing::~SubmissionRing() { release(); }

SubmissionRing::Area SubmissionRing::map(size_t bytes, uint64_t offset) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor_,
                       static_cast<off_t>(offset));
  if (address == MAP_FAILED) fail("cannot map");
  return {address, bytes};
}

void SubmissionRing::release() {
  for (const Area& area : {submission_area_, completion_area_, entries_area_}) {
    if (area.address) munmap(area.address, area.bytes);
  }
  close(descriptor_);
}

void SubmissionRing::push(uint8_t operation, int descriptor, const void* address, size_t bytes,
                          uint64_t offset, uint64_t tag) {
  // Only this thread moves the tail, so it may read it without order; the kernel must see the entry before
  // it.
  const unsigned tail = *submission_tail_;
  const unsigned index = tail & submission_mask_;
  io_uring_sqe& entry = entries_[index];
  entry = {};
  entry.opcode = operation;
  entry.fd = descriptor;
  entry.addr = reinterpret_cast<uint64_t>(address);
  entry.len = static_cast<uint32_t>(bytes);
  entry.off = offset;
  entry.user_data = tag;
  submission_array_[index] = index;
  std::atomic_ref(*submission_tail_).store(tail + 1, std::memory_order_release);
  queued_++;
}

void SubmissionRing::read(int descriptor, std::span<std::byte> buffer, uint64_t offset, uint64_t tag) {
  push(IORING_OP_READ, descriptor, buffer.data(), buffer.size(), offset, tag);
}

void SubmissionRing::write(int descriptor, std::span<const std::byte> data, uint64_t offset, uint64_t tag) {
  push(IORING_OP_WRITE, descriptor, data.data(), data.size(), offset, tag);
}

SubmissionRing::Completion SubmissionRing::wait() {
  const unsigned head = *completion_head_;
  while (queued_ > 0 || std::atomic_ref(*completion_tail_).load(std::memory_order_acquire) == head) {
    const bool ready = std::atomic_ref(*completion_tail_).load(std::memory_order_acquire) != head;
    const long sent =
        syscall(__NR_io_uring_enter, descriptor_, queued_, ready ? 0 : 1, IORING_ENTER_GETEVENTS, nullptr, 0);
    if (sent < 0 && errno != EINTR) fail("cannot submit");
    if (sent > 0) queued_ -= static_cast<unsigned>(sent);
  }
  const io_uring_cqe& entry = completions_[head & completion_mask_];
  const Completion completion = {entry.user_data, entry.res};
  std::atomic_ref(*completion_head_).store(head + 1, std::memory_order_release);
  return completion;
}

}  // namespace branchmerge::bench
