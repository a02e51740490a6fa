#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace branchmerge {

/// Reads and writes in flight. One thread submits and waits; the buffers must stay until their completion.
class IoQueue {
 public:
  struct Request {
    int descriptor;
    bool write;
    std::byte* buffer;
    size_t size;
    uint64_t offset;
    uint64_t tag;  // comes back with the completion
  };
  struct Completion {
    uint64_t tag;
    int64_t result;  // bytes, or −errno
  };

  virtual ~IoQueue() = default;
  /// Fewer than depth() requests must be pending.
  virtual void submit(const Request& request) = 0;
  /// Blocks until a request completes; at least one must be pending.
  virtual Completion wait() = 0;

  size_t pending() const { return pending_; }
  size_t depth() const { return depth_; }

 protected:
  explicit IoQueue(size_t depth) : depth_(depth) {}
  size_t pending_ = 0;

 private:
  size_t depth_;
};

/// nullptr where the kernel has no io_uring or forbids it, as many containers do.
std::unique_ptr<IoQueue> make_io_uring_queue(size_t depth);
/// A thread for each request in flight.
std::unique_ptr<IoQueue> make_thread_queue(size_t depth);
/// The first where there is one, else the second.
std::unique_ptr<IoQueue> make_io_queue(size_t depth);
bool io_uring_available();

}  // namespace branchmerge
