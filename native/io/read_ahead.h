#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/page_buffer.h"
#include "base/start_thread.h"
#include "io/input_files.h"
#include "io/io_queue.h"

namespace branchmerge {

/// 16 reads of 1 MiB in flight reach what a disk gives; more of them, or larger, overflow the queue of some
/// virtual disks (docs/design.md).
inline constexpr uint64_t kReadBytes = 1 << 20;
inline constexpr size_t kReadsInFlight = 16;
/// Direct I/O reads whole blocks of this size.
inline constexpr uint64_t kDirectAlignment = 4096;

/// The bytes of one tensor in several models, arriving in order.
class ArrivingGroup {
 public:
  /// Blocks until the first `end` bytes of range `index` of the group are there, and returns where they are;
  /// throws the reader's failure.
  const std::byte* wait_for(size_t index, uint64_t end);
  size_t size() const { return parts_.size(); }

 private:
  friend class ReadAhead;
  struct Part {
    ByteRange range{};
    std::byte* memory = nullptr;  // begins `lead` bytes before the tensor: direct I/O reads whole blocks
    uint64_t lead = 0, read_bytes = 0;
    uint64_t requested = 0;              // bytes of `memory` that were asked for
    uint64_t arrived = 0;                // bytes of `memory` from its start, without a gap
    std::map<uint64_t, uint64_t> ahead;  // arrived beyond a gap: begin → end
  };
  std::vector<Part> parts_;
  uint64_t arena_end_ = 0;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::exception_ptr failure_;
};

/// Reads groups of byte ranges, one group after the other and ahead of their use, into a ring of memory of
/// fixed size.
class ReadAhead {
 public:
  using Group = std::vector<ByteRange>;

  /// The inputs must outlive the reader. The ring takes at most `memory` bytes, or one group where that is
  /// more. `in_use`: groups that are not released at a time, about.
  ReadAhead(InputFiles& inputs, std::vector<Group> groups, uint64_t memory, size_t in_use = 1);
  /// Memory that a group needs in the ring.
  static uint64_t room(const Group& group);

  /// All of the ring.
  std::span<std::byte> memory() const { return {arena_->data(), arena_->size()}; }
  /// The next group, as soon as there is memory for it. It stays until it is released.
  ArrivingGroup& next();
  /// Gives the oldest group's memory back; all of its bytes must have arrived.
  void release();
  /// Makes every wait throw ERR_CANCELLED.
  void cancel();

 private:
  static constexpr size_t kPopulators = 2;
  struct Flight {
    ArrivingGroup* group;
    size_t part;
    uint64_t begin, end;  // in the part's memory
  };
  void serve();
  void populate(size_t which) const;
  void read_ahead();
  bool begin_group();
  bool next_part(size_t& chosen) const;
  void submit(const Flight& flight);
  void complete(const IoQueue::Completion& completion);
  void fail(std::exception_ptr failure);
  std::byte* reserve(uint64_t bytes);
  static ArrivingGroup::Part plan_part(const ByteRange& range);

  InputFiles& inputs_;
  const std::vector<Group> groups_;
  std::unique_ptr<PageBuffer> arena_;
  std::unique_ptr<IoQueue> queue_;

  mutable std::mutex mutex_;
  std::condition_variable group_begun_, memory_freed_;
  // Begun and not released, oldest first. The reader owns them: the kernel writes into them until they are
  // complete, whatever becomes of who asked.
  std::deque<std::unique_ptr<ArrivingGroup>> groups_alive_;
  size_t handed_out_ = 0;  // of groups_alive_
  // The ring: memory [tail, head) is in use, going round at the end.
  uint64_t head_ = 0, tail_ = 0;
  uint64_t releases_ = 0;
  std::atomic<bool> stopping_{false};
  std::exception_ptr failure_;

  // The reader thread's own.
  size_t next_group_ = 0;
  ArrivingGroup* current_ = nullptr;  // not all of it asked for
  std::map<uint64_t, Flight> flights_;
  uint64_t next_tag_ = 0;
  Threads threads_;
};

}  // namespace branchmerge
