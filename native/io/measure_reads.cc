#include "io/measure_reads.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/page_buffer.h"
#include "io/io_queue.h"
#include "io/read_ahead.h"

namespace branchmerge {
namespace {

/// A disk of 7 GB/s gives this much in 10 ms; what is slow ends at kSeconds.
constexpr uint64_t kMostBytes = 64 << 20;
constexpr double kSeconds = 0.1;

/// The first `bytes` of ranges that are read together, in the order in which ReadAhead asks for them.
void cut(std::vector<ByteRange> ranges, uint64_t bytes, std::vector<ByteRange>& pieces) {
  for (ByteRange& range : ranges) range.begin = range.begin / kDirectAlignment * kDirectAlignment;
  for (bool any = true; any;) {
    any = false;
    for (ByteRange& range : ranges) {
      const uint64_t end = std::min(range.end, range.begin + std::min(kReadBytes, bytes));
      if (range.begin == end) continue;
      pieces.push_back({range.input, range.begin, end});
      bytes -= end - range.begin;
      range.begin = end;
      any = true;
    }
  }
}

/// Of a piece, which begins at one, in whole blocks.
uint64_t block_bytes(const ByteRange& piece) {
  return (piece.size() + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

/// Reads pieces of at most kReadBytes into memory that nobody looks at.
class PieceReader {
 public:
  explicit PieceReader(InputFiles& inputs)
      : inputs_(inputs), memory_(kReadsInFlight * kReadBytes), queue_(make_io_queue(kReadsInFlight)) {
    memory_.populate(0, memory_.size());
    for (size_t slot = 0; slot < kReadsInFlight; slot++) free_.push_back(slot);
  }
  ~PieceReader() {
    while (queue_->pending() > 0) queue_->wait();  // the kernel may still write into the memory
    for (const ByteRange& piece : through_cache_)
      posix_fadvise(descriptor(piece), off_t(piece.begin), off_t(block_bytes(piece)), POSIX_FADV_DONTNEED);
  }
  PieceReader(const PieceReader&) = delete;
  PieceReader& operator=(const PieceReader&) = delete;

  /// Bytes a second.
  double rate(const ByteRange* begin, const ByteRange* end) {
    uint64_t bytes = 0;
    const auto started = std::chrono::steady_clock::now();
    for (const ByteRange* piece = begin; piece != end || queue_->pending() > 0;) {
      while (piece != end && !free_.empty()) {
        slots_[free_.back()] = *piece++;
        submit(free_.back());
        free_.pop_back();
      }
      bytes += complete(queue_->wait());
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    return double(bytes) / std::max(seconds.count(), 1e-9);
  }

 private:
  int descriptor(const ByteRange& piece) const { return inputs_.file(piece.input).descriptor(); }

  void submit(size_t slot) {
    const ByteRange& piece = slots_[slot];
    const bool direct = inputs_.direct(piece.input);
    if (!direct) {
      // Nothing beyond it is to come into the cache.
      posix_fadvise(descriptor(piece), 0, 0, POSIX_FADV_RANDOM);
      through_cache_.push_back(piece);
    }
    // Direct I/O asks for whole blocks, at the end of the file, too.
    const uint64_t size = direct ? block_bytes(piece) : piece.size();
    queue_->submit({descriptor(piece), false, memory_.data() + slot * kReadBytes, size, piece.begin, slot});
  }

  /// Bytes that came.
  uint64_t complete(const IoQueue::Completion& completion) {
    const ByteRange& piece = slots_[completion.tag];
    const bool refused = completion.result == -EINVAL && inputs_.direct(piece.input);
    if (refused) inputs_.give_up_direct(piece.input);
    if (refused || completion.result == -EAGAIN || completion.result == -EINTR) {
      submit(completion.tag);
      return 0;
    }
    const std::string& path = inputs_.file(piece.input).path();
    if (completion.result < 0)
      throw Error("ERR_FILE_READ",
                  path + ": cannot read: " + std::generic_category().message(int(-completion.result)) + ".");
    if (completion.result == 0) throw_file_changed(path);
    free_.push_back(completion.tag);
    return std::min(uint64_t(completion.result), piece.size());
  }

  InputFiles& inputs_;
  const PageBuffer memory_;
  const std::unique_ptr<IoQueue> queue_;
  std::vector<size_t> free_;  // of the slots
  ByteRange slots_[kReadsInFlight];
  std::vector<ByteRange> through_cache_;
};

}  // namespace

std::optional<double> measure_reads(InputFiles& inputs, const std::vector<std::vector<ByteRange>>& reads) {
  std::vector<ByteRange> pieces;
  for (const std::vector<ByteRange>& ranges : reads) cut(ranges, kMostBytes / reads.size(), pieces);
  std::erase_if(pieces, [&](const ByteRange& piece) {
    return !inputs.direct(piece.input) && inputs.cached_bytes(piece) > 0;
  });
  if (pieces.empty()) return std::nullopt;

  PieceReader reader(inputs);
  const ByteRange *first = pieces.data(), *second = first + 1;
  const double alone = reader.rate(first, second);
  // As many more as would come within kSeconds one after the other; together they take less.
  const double seconds = double(first->size()) / alone;
  const auto more = size_t(std::min(kSeconds / seconds, double(pieces.size() - 1)));
  return more == 0 ? alone : reader.rate(second, second + more);
}

}  // namespace branchmerge
