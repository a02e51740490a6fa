#include "io/output_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/start_thread.h"

namespace branchmerge {
namespace {

/// Direct I/O moves whole blocks of the device; 4096 serves devices of 512 too.
constexpr uint64_t kDirectAlignment = 4096;

/// Enough to keep a disk busy, little enough that its queue does not overflow (docs/design.md).
constexpr size_t kWritesInFlight = 8;

uint64_t round_up(uint64_t bytes) {
  return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

uint64_t blocks_of(uint64_t bytes) { return (bytes + kWriteBlock - 1) / kWriteBlock; }

/// How much work a sudden end may cost, against how often the disk is made to write everything down. Outputs
/// that are written at the same time take turns.
constexpr std::chrono::seconds kSyncEvery{1};

[[noreturn]] void throw_write_error(const std::string& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(full ? "ERR_DISK_FULL" : "ERR_OUTPUT_WRITE",
              path + ": cannot write: " + std::generic_category().message(error) +
                  (full ? ". Free some space, or choose another output directory." : "."));
}

}  // namespace

OutputWriter::OutputWriter(std::vector<Output> outputs, size_t buffers, OnWritten on_written)
    : outputs_(std::move(outputs)),
      on_written_(std::move(on_written)),
      memory_(buffers * kWriteBlock),
      queue_(make_io_queue(kWritesInFlight)) {
  for (size_t i = 0; i < buffers; i++) free_.push_back(memory_.data() + i * kWriteBlock);
  for (const Output& output : outputs_) blocks_left_ += blocks_of(output.bytes) - blocks_of(output.written);
  thread_ = start_thread([this] { serve(); });
}

OutputWriter::~OutputWriter() {
  cancel();
  thread_.join();
}

void OutputWriter::cancel() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  if (!failure_) failure_ = std::make_exception_ptr(Error("ERR_CANCELLED", "The operation was cancelled"));
  buffer_freed_.notify_all();
  block_filled_.notify_all();
  finished_.notify_all();
}

std::byte* OutputWriter::open(size_t output, uint64_t begin, uint64_t end) {
  const BlockId id{output, begin / kWriteBlock};
  if (end > (id.second + 1) * kWriteBlock || end > outputs_[output].bytes)
    throw Error("ERR_INTERNAL", outputs_[output].path + ": a range of the output crosses its block");
  std::unique_lock lock(mutex_);
  for (;;) {
    if (failure_) std::rethrow_exception(failure_);
    const auto found = blocks_.find(id);
    if (found != blocks_.end()) return found->second.buffer + begin % kWriteBlock;
    if (!free_.empty()) break;
    buffer_freed_.wait(lock);
  }
  std::byte* buffer = free_.back();
  free_.pop_back();
  blocks_[id] = {buffer};
  return buffer + begin % kWriteBlock;
}

void OutputWriter::close(size_t output, uint64_t begin, uint64_t end) {
  const BlockId id{output, begin / kWriteBlock};
  std::lock_guard lock(mutex_);
  Block& block = blocks_.at(id);
  block.filled += end - begin;
  if (block.filled < block_bytes(id)) return;
  ready_.push_back(id);
  block_filled_.notify_one();
}

void OutputWriter::finish() {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return failure_ || blocks_left_ == 0; });
  if (failure_) std::rethrow_exception(failure_);
}

uint64_t OutputWriter::block_bytes(const BlockId& id) const {
  return std::min(kWriteBlock, outputs_[id.first].bytes - id.second * kWriteBlock);
}

void OutputWriter::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    write_ready_blocks(lock);
    if (queue_->pending() > 0) {
      lock.unlock();
      const IoQueue::Completion completion = queue_->wait();
      try {
        end_write(completion);
      } catch (...) {
        fail(std::current_exception());
      }
      lock.lock();
      continue;
    }
    if (stopping_ || failure_) return;
    block_filled_.wait(lock, [this] { return stopping_ || failure_ || !ready_.empty(); });
  }
}

void OutputWriter::write_ready_blocks(std::unique_lock<std::mutex>& lock) {
  while (!ready_.empty() && !stopping_ && !failure_ && queue_->pending() < queue_->depth()) {
    const BlockId id = ready_.front();
    ready_.pop_front();
    lock.unlock();
    try {
      begin_write(id);
    } catch (...) {
      fail(std::current_exception());
    }
    lock.lock();
  }
}

void OutputWriter::begin_write(const BlockId& id) {
  OpenOutput& output = opened(id.first);
  const uint64_t bytes = block_bytes(id), size = output.direct ? round_up(bytes) : bytes;
  std::byte* buffer;
  {
    std::lock_guard lock(mutex_);
    buffer = blocks_.at(id).buffer;
  }
  std::memset(buffer + bytes, 0, size - bytes);
  in_flight_[next_tag_] = id;
  queue_->submit({output.file.descriptor(), true, buffer, size, id.second * kWriteBlock, next_tag_++});
}

void OutputWriter::end_write(const IoQueue::Completion& completion) {
  const BlockId id = in_flight_.extract(completion.tag).mapped();
  OpenOutput& output = opened(id.first);
  const uint64_t bytes = block_bytes(id), at = id.second * kWriteBlock;
  std::byte* buffer;
  {
    std::lock_guard lock(mutex_);
    buffer = blocks_.at(id).buffer;
  }
  // Refused for direct I/O after all (-EINVAL), or written in part: the rest goes the ordinary way, which
  // also finds out why (a full disk, a quota, a size limit).
  if (completion.result < 0 && completion.result != -EINVAL)
    throw_write_error(output.file.path(), int(-completion.result));
  const uint64_t done = completion.result < 0 ? 0 : std::min(bytes, uint64_t(completion.result));
  if (done < bytes) {
    const int flags = fcntl(output.file.descriptor(), F_GETFL);
    fcntl(output.file.descriptor(), F_SETFL, flags & ~O_DIRECT);
    output.direct = false;
    output.file.write_all({buffer + done, bytes - done}, at + done);
  }
  bytes_written_ += bytes;
  output.blocks_left--;
  note_written(id.first, output, id.second);

  std::lock_guard lock(mutex_);
  blocks_.erase(id);
  free_.push_back(buffer);
  buffer_freed_.notify_all();
  if (--blocks_left_ == 0) finished_.notify_all();
}

OutputWriter::OpenOutput& OutputWriter::opened(size_t index) {
  const auto found = open_.find(index);
  if (found != open_.end()) return found->second;
  const Output& wanted = outputs_[index];
  OpenOutput output{wanted.written > 0 ? File::open_for_writing(wanted.path) : File::create(wanted.path)};
  output.prefix = blocks_of(wanted.written);
  output.blocks_left = blocks_of(wanted.bytes) - output.prefix;
  // All of the space at once: a full disk shows before hours of work, and the blocks lie together.
  output.file.reserve(round_up(wanted.bytes));
  output.direct = output.file.use_direct_io();
  direct_ = output.direct;
  return open_.emplace(index, std::move(output)).first->second;
}

/// Syncs now and then, so that a run that is cut off can be taken up again, and tells how far the file is
/// safe.
void OutputWriter::note_written(size_t index, OpenOutput& output, uint64_t block) {
  output.beyond.insert(block);
  while (output.beyond.erase(output.prefix) > 0) output.prefix++;
  const bool complete = output.blocks_left == 0;
  const auto now = std::chrono::steady_clock::now();
  if (!complete && (!on_written_ || now - output.synced < kSyncEvery * open_.size())) return;
  const uint64_t prefix = std::min(outputs_[index].bytes, output.prefix * kWriteBlock);
  if (complete) {
    close_output(index);
  } else {
    output.file.sync();
    output.synced = now;
  }
  if (on_written_) on_written_(index, prefix);
}

void OutputWriter::close_output(size_t index) {
  OpenOutput& output = open_.at(index);
  output.file.resize(outputs_[index].bytes);
  output.file.sync();
  open_.erase(index);
}

void OutputWriter::fail(std::exception_ptr failure) {
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
  buffer_freed_.notify_all();
  finished_.notify_all();
}

}  // namespace branchmerge
