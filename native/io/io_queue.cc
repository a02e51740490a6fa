#include "io/io_queue.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "base/start_thread.h"

#if defined(__linux__) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#include <sys/syscall.h>
#define BRANCHMERGE_IO_URING 1
#endif

namespace branchmerge {
namespace {

// ---- threads ------------------------------------------------------------------------------------

class ThreadQueue final : public IoQueue {
 public:
  explicit ThreadQueue(size_t depth) : IoQueue(depth), threads_([this] { stop(); }) {
    for (size_t i = 0; i < depth; i++) threads_.start([this] { serve(); });
  }

  void submit(const Request& request) override {
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    pending_++;
    submitted_.notify_one();
  }

  Completion wait() override {
    std::unique_lock lock(mutex_);
    completed_.wait(lock, [this] { return !completions_.empty(); });
    const Completion completion = completions_.front();
    completions_.pop_front();
    pending_--;
    return completion;
  }

 private:
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    submitted_.notify_all();
  }

  void serve() {
    for (;;) {
      Request request;
      {
        std::unique_lock lock(mutex_);
        submitted_.wait(lock, [this] { return stopping_ || !requests_.empty(); });
        if (requests_.empty()) return;
        request = requests_.front();
        requests_.pop_front();
      }
      const int64_t result = transfer(request);
      std::lock_guard lock(mutex_);
      completions_.push_back({request.tag, result});
      completed_.notify_one();
    }
  }

  static int64_t transfer(const Request& r) {
    for (;;) {
      const ssize_t result = r.write ? pwrite(r.descriptor, r.buffer, r.size, off_t(r.offset))
                                     : pread(r.descriptor, r.buffer, r.size, off_t(r.offset));
      if (result >= 0) return result;
      if (errno != EINTR) return -errno;
    }
  }

  std::mutex mutex_;
  std::condition_variable submitted_, completed_;
  std::deque<Request> requests_;
  std::deque<Completion> completions_;
  bool stopping_ = false;
  Threads threads_;
};

// ---- io_uring -----------------------------------------------------------------------------------

#if BRANCHMERGE_IO_URING

// The kernel's interface by hand (two system calls and three shared rings): a library would be one more thing
// that a machine must have to build this.
class IoUringQueue final : public IoQueue {
 public:
  static std::unique_ptr<IoQueue> create(size_t depth) {
    io_uring_params params{};
    const int descriptor = int(syscall(__NR_io_uring_setup, unsigned(depth), &params));
    if (descriptor < 0) return nullptr;
    auto queue = std::unique_ptr<IoUringQueue>(new IoUringQueue(depth, descriptor));
    // IORING_OP_READ and one mapping for both rings came with 5.6 and 5.4.
    const bool usable =
        (params.features & IORING_FEAT_SINGLE_MMAP) && (params.features & IORING_FEAT_RW_CUR_POS);
    if (!usable || !queue->map(params)) return nullptr;
    // Some sandboxes allow the first of the two system calls and not the second.
    if (syscall(__NR_io_uring_enter, descriptor, 0, 0, 0, nullptr, 0) < 0 && is_forbidden(errno))
      return nullptr;
    return queue;
  }

  ~IoUringQueue() override {
    if (rings_ != MAP_FAILED) munmap(rings_, rings_size_);
    if (entries_ != MAP_FAILED) munmap(entries_, entries_size_);
    close(descriptor_);
  }

  void submit(const Request& request) override {
    const unsigned tail = *submission_tail_;
    const unsigned slot = tail & submission_mask_;
    io_uring_sqe& entry = static_cast<io_uring_sqe*>(entries_)[slot];
    std::memset(&entry, 0, sizeof entry);
    entry.opcode = request.write ? IORING_OP_WRITE : IORING_OP_READ;
    entry.fd = request.descriptor;
    entry.addr = reinterpret_cast<uint64_t>(request.buffer);
    entry.len = unsigned(request.size);
    entry.off = request.offset;
    entry.user_data = request.tag;
    submission_array_[slot] = slot;
    __atomic_store_n(submission_tail_, tail + 1, __ATOMIC_RELEASE);
    pending_++;
    unsubmitted_++;
    enter(0);
  }

  Completion wait() override {
    for (;;) {
      if (!refused_.empty()) {
        const Completion completion = refused_.front();
        refused_.pop_front();
        pending_--;
        return completion;
      }
      const unsigned head = *completion_head_;
      if (head != __atomic_load_n(completion_tail_, __ATOMIC_ACQUIRE)) {
        const io_uring_cqe& entry = completions_[head & completion_mask_];
        const Completion completion{entry.user_data, entry.res};
        __atomic_store_n(completion_head_, head + 1, __ATOMIC_RELEASE);
        pending_--;
        return completion;
      }
      enter(1);
    }
  }

 private:
  IoUringQueue(size_t depth, int descriptor) : IoQueue(depth), descriptor_(descriptor) {}

  bool map(const io_uring_params& params) {
    const size_t submissions = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    const size_t completions = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    rings_size_ = submissions > completions ? submissions : completions;
    rings_ = mmap(nullptr, rings_size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor_,
                  IORING_OFF_SQ_RING);
    entries_size_ = params.sq_entries * sizeof(io_uring_sqe);
    entries_ = mmap(nullptr, entries_size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor_,
                    IORING_OFF_SQES);
    if (rings_ == MAP_FAILED || entries_ == MAP_FAILED) return false;
    char* rings = static_cast<char*>(rings_);
    const auto number = [rings](unsigned offset) { return reinterpret_cast<unsigned*>(rings + offset); };
    submission_tail_ = number(params.sq_off.tail);
    submission_mask_ = *number(params.sq_off.ring_mask);
    submission_array_ = number(params.sq_off.array);
    completion_head_ = number(params.cq_off.head);
    completion_tail_ = number(params.cq_off.tail);
    completion_mask_ = *number(params.cq_off.ring_mask);
    completions_ = reinterpret_cast<io_uring_cqe*>(rings + params.cq_off.cqes);
    return true;
  }

  void enter(unsigned least) {
    const unsigned flags = least ? IORING_ENTER_GETEVENTS : 0;
    const long taken = syscall(__NR_io_uring_enter, descriptor_, unsubmitted_, least, flags, nullptr, 0);
    if (taken > 0) unsubmitted_ -= unsigned(taken);
    if (taken >= 0) return;
    // The entries are still in the ring: the next call takes them.
    if (!is_forbidden(errno)) return;
    refuse_unsubmitted(errno);
    // What the kernel has goes on without us: it completes in memory that we can see.
    if (least) std::this_thread::sleep_for(kPoll);
  }

  /// Not only for now.
  static bool is_forbidden(int error) { return error != EINTR && error != EAGAIN && error != EBUSY; }

  /// Takes back what the kernel has not taken, as requests that failed.
  void refuse_unsubmitted(int error) {
    const unsigned tail = *submission_tail_, first = tail - unsubmitted_;
    for (unsigned i = first; i != tail; i++) {
      const io_uring_sqe& entry = static_cast<io_uring_sqe*>(entries_)[i & submission_mask_];
      refused_.push_back({entry.user_data, -error});
    }
    __atomic_store_n(submission_tail_, first, __ATOMIC_RELEASE);
    unsubmitted_ = 0;
  }

  static constexpr std::chrono::microseconds kPoll{200};

  int descriptor_;
  void* rings_ = MAP_FAILED;
  void* entries_ = MAP_FAILED;
  size_t rings_size_ = 0, entries_size_ = 0;
  unsigned unsubmitted_ = 0;
  std::deque<Completion> refused_;
  unsigned *submission_tail_ = nullptr, *submission_array_ = nullptr;
  unsigned *completion_head_ = nullptr, *completion_tail_ = nullptr;
  unsigned submission_mask_ = 0, completion_mask_ = 0;
  io_uring_cqe* completions_ = nullptr;
};

#endif

}  // namespace

std::unique_ptr<IoQueue> make_thread_queue(size_t depth) { return std::make_unique<ThreadQueue>(depth); }

std::unique_ptr<IoQueue> make_io_uring_queue([[maybe_unused]] size_t depth) {
#if BRANCHMERGE_IO_URING
  return IoUringQueue::create(depth);
#else
  return nullptr;
#endif
}

std::unique_ptr<IoQueue> make_io_queue(size_t depth) {
  if (std::unique_ptr<IoQueue> queue = make_io_uring_queue(depth)) return queue;
  return make_thread_queue(depth);
}

bool io_uring_available() { return make_io_uring_queue(1) != nullptr; }

}  // namespace branchmerge
