#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/page_buffer.h"
#include "io/file.h"
#include "io/io_queue.h"

namespace branchmerge {

/// Bytes of an output file are handed over in blocks of this size, counted from the file's start.
inline constexpr uint64_t kWriteBlock = 1 << 20;

/// Writes files block by block from a bounded set of buffers that the producers fill in place. A block goes
/// to disk when all of its bytes are there; a file is cut to its size, synced and closed when all of its
/// blocks are. Uses direct I/O where the file system has it, so that a merged model does not push everything
/// else out of memory.
class OutputWriter {
 public:
  struct Output {
    std::string path;  // must not exist, unless `written` says that an earlier run began it
    uint64_t bytes;
    uint64_t written = 0;  // from the start, whole blocks or all of it: there already, and not written again
  };
  /// Tells, from the writer's thread, that the first `bytes` of an output are on the disk, whatever happens
  /// next.
  using OnWritten = std::function<void(size_t output, uint64_t bytes)>;

  /// `buffers`: blocks held at a time; at least two more than there are producers.
  OutputWriter(std::vector<Output> outputs, size_t buffers, OnWritten on_written = {});
  /// Gives up what is not written; the files stay for the caller to remove.
  ~OutputWriter();

  /// Whether an earlier run wrote these bytes: then there is nothing to open.
  bool written(size_t output, uint64_t end) const { return end <= outputs_[output].written; }
  /// Room for bytes [begin, end) of a file, within one block; waits for a free buffer. Thread-safe. Throws
  /// the writer's failure.
  std::byte* open(size_t output, uint64_t begin, uint64_t end);
  /// The bytes of an opened range are there.
  void close(size_t output, uint64_t begin, uint64_t end);
  /// Waits until everything is written and synced, and throws the first failure: ERR_DISK_FULL,
  /// ERR_OUTPUT_WRITE.
  void finish();
  /// Makes every waiting and later open() throw ERR_CANCELLED.
  void cancel();

  /// All of the buffers.
  std::span<std::byte> memory() const { return {memory_.data(), memory_.size()}; }
  uint64_t bytes_written() const { return bytes_written_; }
  bool direct() const { return direct_; }

 private:
  using BlockId = std::pair<size_t, uint64_t>;  // output, block number
  struct Block {
    std::byte* buffer;
    uint64_t filled = 0;
  };
  struct OpenOutput {
    File file;
    bool direct = false;
    uint64_t blocks_left = 0;
    uint64_t prefix = 0;             // blocks from the start without a gap
    std::set<uint64_t> beyond = {};  // written beyond a gap
    std::chrono::steady_clock::time_point synced = {};
  };

  void serve();
  void write_ready_blocks(std::unique_lock<std::mutex>& lock);
  void begin_write(const BlockId& id);
  void end_write(const IoQueue::Completion& completion);
  OpenOutput& opened(size_t index);
  void close_output(size_t index);
  void note_written(size_t index, OpenOutput& output, uint64_t block);
  uint64_t block_bytes(const BlockId& id) const;
  void fail(std::exception_ptr failure);

  const std::vector<Output> outputs_;
  const OnWritten on_written_;
  PageBuffer memory_;
  std::unique_ptr<IoQueue> queue_;

  std::mutex mutex_;
  std::condition_variable buffer_freed_, block_filled_, finished_;
  std::vector<std::byte*> free_;
  std::map<BlockId, Block> blocks_;
  std::deque<BlockId> ready_;
  uint64_t blocks_left_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::atomic<uint64_t> bytes_written_{0};
  std::atomic<bool> direct_{false};

  // The writer thread's own.
  std::map<size_t, OpenOutput> open_;
  std::map<uint64_t, BlockId> in_flight_;
  uint64_t next_tag_ = 0;
  std::thread thread_;
};

}  // namespace branchmerge
