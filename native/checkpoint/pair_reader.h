#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/input_files.h"
#include "checkpoint/io_queue.h"
#include "checkpoint/page_buffer.h"

namespace branchmerge {

/// A tensor's bytes on both sides, arriving in order.
class ArrivingPair {
 public:
  const std::byte* left() const { return sides_[0].data; }
  const std::byte* right() const { return sides_[1].data; }
  /// Blocks until the first `end` bytes of both sides are there; throws the reader's failure.
  void wait_for(uint64_t end);

 private:
  friend class PairReader;
  struct Side {
    ByteRange range{};
    std::byte* memory = nullptr;  // begins `lead` bytes before the tensor: direct I/O reads whole blocks
    const std::byte* data = nullptr;
    uint64_t lead = 0, read_bytes = 0;
    uint64_t arrived = 0;                // bytes of `memory` from its start, without a gap
    std::map<uint64_t, uint64_t> ahead;  // arrived beyond a gap: begin → end
  };
  Side sides_[2];
  uint64_t arena_end_ = 0;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::exception_ptr failure_;
};

/// Reads pairs of tensors, one after the other and ahead of their use, into a ring of memory of fixed size.
class PairReader {
 public:
  struct Pair {
    ByteRange left, right;
  };

  /// The inputs must outlive the reader.
  PairReader(InputFiles& inputs, std::vector<Pair> pairs);
  ~PairReader();

  /// The next pair, as soon as there is memory for it. It stays until it is released.
  ArrivingPair& next();
  /// Gives the oldest pair's memory back; all of its bytes must have arrived.
  void release();
  /// Makes every wait throw ERR_CANCELLED.
  void cancel();

 private:
  struct Flight {
    ArrivingPair* pair;
    int side;
    uint64_t begin, end;  // in the side's memory
  };
  struct Cursor {
    ArrivingPair* pair = nullptr;
    uint64_t at[2] = {0, 0};
  };

  void serve();
  void read_ahead();
  bool begin_pair();
  void submit(const Flight& flight);
  void complete(const IoQueue::Completion& completion);
  void fail(std::exception_ptr failure);
  std::byte* reserve(uint64_t bytes);
  ArrivingPair::Side plan_side(const ByteRange& range) const;

  InputFiles& inputs_;
  const std::vector<Pair> pairs_;
  std::unique_ptr<PageBuffer> arena_;
  std::unique_ptr<IoQueue> queue_;

  mutable std::mutex mutex_;
  std::condition_variable pair_begun_, memory_freed_;
  // Begun and not released, oldest first. The reader owns them: the kernel writes into them until they are
  // complete, whatever becomes of who asked.
  std::deque<std::unique_ptr<ArrivingPair>> pairs_alive_;
  size_t handed_out_ = 0;  // of pairs_alive_
  // The ring: memory [tail, head) is in use, going round at the end.
  uint64_t head_ = 0, tail_ = 0;
  uint64_t releases_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;

  // The reader thread's own.
  size_t next_pair_ = 0;
  Cursor cursor_;
  std::map<uint64_t, Flight> flights_;
  uint64_t next_tag_ = 0;
  std::thread thread_;
};

}  // namespace branchmerge
