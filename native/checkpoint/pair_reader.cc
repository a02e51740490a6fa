#include "checkpoint/pair_reader.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"

namespace branchmerge {
namespace {

constexpr uint64_t kDirectAlignment = 4096;

/// 16 reads of 1 MiB in flight reach what a disk gives; more of them, or larger, overflow the queue of some
/// virtual disks (bench/README.md).
constexpr uint64_t kReadBytes = 1 << 20;
constexpr size_t kReadsInFlight = 16;

/// Beyond one pair of the largest tensor, the ring holds this much read ahead: what a disk delivers while the largest
/// tensor goes through its last passes.
constexpr uint64_t kReadAhead = 256 << 20;

uint64_t round_down(uint64_t x) { return x / kDirectAlignment * kDirectAlignment; }
uint64_t round_up(uint64_t x) { return round_down(x + kDirectAlignment - 1); }

/// Whether nearly all of a file is in the page cache. Kernels before 6.5 cannot tell: then it is taken for cold.
bool is_cached(const File& file, uint64_t bytes) {
  struct {
    uint64_t offset, length;
  } range{0, bytes};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } pages{};
  constexpr long kCachestat = 451;
  if (syscall(kCachestat, file.descriptor(), &range, &pages, 0) != 0) return false;
  return double(pages.cached) * double(sysconf(_SC_PAGESIZE)) > 0.9 * double(bytes);
}

[[noreturn]] void throw_changed(const std::string& path) {
  throw Error("ERR_FILE_CHANGED", path + ": the file was changed while it was read. Run again when nothing writes to it.");
}

}  // namespace

void ArrivingPair::wait_for(uint64_t end) {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] {
    return failure_ || std::all_of(std::begin(sides_), std::end(sides_),
                                   [&](const Side& side) { return side.arrived >= side.lead + end; });
  });
  if (failure_) std::rethrow_exception(failure_);
}

PairReader::PairReader(const std::vector<Input>& inputs, std::vector<Pair> pairs)
    : pairs_(std::move(pairs)), queue_(make_io_queue(kReadsInFlight)) {
  for (const Input& input : inputs) {
    OpenInput opened{File::open_for_reading(input.path), input.bytes, false, 0, 0};
    struct stat status;
    if (fstat(opened.file.descriptor(), &status) != 0 || uint64_t(status.st_size) != input.bytes) throw_changed(input.path);
    opened.modified_seconds = status.st_mtim.tv_sec;
    opened.modified_nanoseconds = status.st_mtim.tv_nsec;
    opened.direct = !is_cached(opened.file, input.bytes) && opened.file.use_direct_io();
    direct_ = direct_ || opened.direct;
    inputs_.push_back(std::move(opened));
  }
  uint64_t largest = 0, all = 0;
  for (const Pair& pair : pairs_) {
    const uint64_t need = plan_side(pair.left).read_bytes + plan_side(pair.right).read_bytes;
    largest = std::max(largest, need);
    all += need;
  }
  arena_ = std::make_unique<PageBuffer>(std::max(kDirectAlignment, std::min(all, largest + kReadAhead)));
  thread_ = std::thread([this] { serve(); });
}

PairReader::~PairReader() {
  cancel();
  thread_.join();
}

void PairReader::cancel() { fail(std::make_exception_ptr(Error("ERR_CANCELLED", "The operation was cancelled"))); }

void PairReader::fail(std::exception_ptr failure) {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  if (!failure_) failure_ = failure;
  for (const std::unique_ptr<ArrivingPair>& pair : pairs_alive_) {
    std::lock_guard pair_lock(pair->mutex_);
    pair->failure_ = failure_;
    pair->arrived_.notify_all();
  }
  pair_begun_.notify_all();
  memory_freed_.notify_all();
}

ArrivingPair& PairReader::next() {
  std::unique_lock lock(mutex_);
  pair_begun_.wait(lock, [this] { return failure_ || handed_out_ < pairs_alive_.size(); });
  if (failure_) std::rethrow_exception(failure_);
  return *pairs_alive_[handed_out_++];
}

void PairReader::release() {
  std::lock_guard lock(mutex_);
  tail_ = pairs_alive_.front()->arena_end_;
  pairs_alive_.pop_front();
  handed_out_--;
  releases_++;
  memory_freed_.notify_all();
}

void PairReader::check_unchanged() const {
  for (const OpenInput& input : inputs_) {
    struct stat status;
    if (fstat(input.file.descriptor(), &status) != 0 || uint64_t(status.st_size) != input.bytes ||
        status.st_mtim.tv_sec != input.modified_seconds || status.st_mtim.tv_nsec != input.modified_nanoseconds)
      throw_changed(input.file.path());
  }
}

ArrivingPair::Side PairReader::plan_side(const ByteRange& range) const {
  const OpenInput& input = inputs_[range.input];
  ArrivingPair::Side side;
  side.range = range;
  // The same room whether direct or not: an input may turn out to refuse direct reads.
  const uint64_t begin = round_down(range.begin);
  side.lead = range.begin - begin;
  side.read_bytes = range.size() == 0 ? 0 : round_up(std::min(range.end, input.bytes)) - begin;
  return side;
}

void PairReader::serve() {
  try {
    for (;;) {
      uint64_t seen;
      {
        std::lock_guard lock(mutex_);
        if (stopping_) break;
        seen = releases_;
      }
      read_ahead();
      if (queue_->pending() > 0) {
        complete(queue_->wait());
        continue;
      }
      if (next_pair_ == pairs_.size()) break;
      // Nothing in flight and no memory for the next pair.
      std::unique_lock lock(mutex_);
      memory_freed_.wait(lock, [&] { return stopping_ || releases_ != seen; });
    }
  } catch (...) {
    fail(std::current_exception());
  }
  while (queue_->pending() > 0) queue_->wait();  // the kernel may still write into the arena
}

/// Fills the queue, alternating between the sides so that they arrive together.
void PairReader::read_ahead() {
  while (queue_->pending() < queue_->depth()) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    if (cursor_.pair == nullptr && (next_pair_ == pairs_.size() || !begin_pair())) return;
    if (cursor_.pair == nullptr) continue;  // a pair without bytes
    ArrivingPair& pair = *cursor_.pair;
    const int side = cursor_.at[0] <= cursor_.at[1] && cursor_.at[0] < pair.sides_[0].read_bytes ? 0 : 1;
    const int chosen = cursor_.at[side] < pair.sides_[side].read_bytes ? side : 1 - side;
    const uint64_t begin = cursor_.at[chosen];
    const uint64_t end = std::min(begin + kReadBytes, pair.sides_[chosen].read_bytes);
    cursor_.at[chosen] = end;
    if (cursor_.at[0] == pair.sides_[0].read_bytes && cursor_.at[1] == pair.sides_[1].read_bytes) cursor_ = {};
    submit({&pair, chosen, begin, end});
  }
}

/// Takes memory for the next pair; false when there is none yet.
bool PairReader::begin_pair() {
  const Pair& wanted = pairs_[next_pair_];
  auto pair = std::make_unique<ArrivingPair>();
  pair->sides_[0] = plan_side(wanted.left);
  pair->sides_[1] = plan_side(wanted.right);
  std::lock_guard lock(mutex_);
  std::byte* memory = reserve(pair->sides_[0].read_bytes + pair->sides_[1].read_bytes);
  if (memory == nullptr) return false;
  for (ArrivingPair::Side& side : pair->sides_) {
    side.memory = memory;
    side.data = memory + side.lead;
    memory += side.read_bytes;
  }
  pair->arena_end_ = head_;
  const bool empty = pair->sides_[0].read_bytes == 0 && pair->sides_[1].read_bytes == 0;
  if (!empty) cursor_ = {pair.get(), {0, 0}};
  for (ArrivingPair::Side& side : pair->sides_)
    if (side.read_bytes == 0) side.arrived = side.lead;
  pairs_alive_.push_back(std::move(pair));
  next_pair_++;
  pair_begun_.notify_all();
  return true;
}

/// Contiguous memory from the ring, or nullptr.
std::byte* PairReader::reserve(uint64_t bytes) {
  if (pairs_alive_.empty()) head_ = tail_ = 0;
  const bool wrapped = !pairs_alive_.empty() && head_ <= tail_;
  const uint64_t limit = wrapped ? tail_ : arena_->size();
  if (limit - head_ >= bytes) {
    std::byte* memory = arena_->data() + head_;
    head_ += bytes;
    return memory;
  }
  if (wrapped || tail_ < bytes) return nullptr;
  head_ = bytes;
  return arena_->data();
}

void PairReader::submit(const Flight& flight) {
  const ArrivingPair::Side& side = flight.pair->sides_[flight.side];
  const OpenInput& input = inputs_[side.range.input];
  const uint64_t offset = side.range.begin - side.lead + flight.begin;
  // Past the end of the file there is nothing to read; direct I/O still asks for the whole block.
  const uint64_t size = input.direct ? flight.end - flight.begin : std::min(flight.end - flight.begin, input.bytes - offset);
  flights_[next_tag_] = flight;
  queue_->submit({input.file.descriptor(), false, side.memory + flight.begin, size, offset, next_tag_++});
}

void PairReader::complete(const IoQueue::Completion& completion) {
  const Flight flight = flights_.extract(completion.tag).mapped();
  ArrivingPair::Side& side = flight.pair->sides_[flight.side];
  OpenInput& input = inputs_[side.range.input];
  if (completion.result == -EINVAL && input.direct) {
    // The file system takes O_DIRECT at open but not for reads.
    fcntl(input.file.descriptor(), F_SETFL, fcntl(input.file.descriptor(), F_GETFL) & ~O_DIRECT);
    input.direct = false;
    return submit(flight);
  }
  if (completion.result == -EAGAIN || completion.result == -EINTR) return submit(flight);
  if (completion.result < 0)
    throw Error("ERR_FILE_READ", input.file.path() + ": cannot read: " +
                                     std::generic_category().message(int(-completion.result)) + ".");
  const uint64_t offset = side.range.begin - side.lead + flight.begin;
  const uint64_t expected = std::min(flight.end - flight.begin, input.bytes - offset);
  const uint64_t got = std::min(uint64_t(completion.result), expected);
  uint64_t arrived_end = flight.end;
  if (got < expected) {
    // The rest goes again, from the last whole block.
    if (round_down(got) == 0) throw_changed(input.file.path());
    arrived_end = flight.begin + round_down(got);
    submit({flight.pair, flight.side, arrived_end, flight.end});
  }
  std::lock_guard lock(flight.pair->mutex_);
  side.ahead[flight.begin] = arrived_end;
  for (auto next = side.ahead.find(side.arrived); next != side.ahead.end(); next = side.ahead.find(side.arrived)) {
    side.arrived = next->second;
    side.ahead.erase(next);
  }
  flight.pair->arrived_.notify_all();
}

}  // namespace branchmerge
