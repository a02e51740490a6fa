#include "checkpoint/pair_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "error.h"

namespace branchmerge {
namespace {

constexpr uint64_t kDirectAlignment = 4096;

/// 16 reads of 1 MiB in flight reach what a disk gives; more of them, or larger, overflow the queue of some
/// virtual disks (bench/README.md).
constexpr uint64_t kReadBytes = 1 << 20;
constexpr size_t kReadsInFlight = 16;

/// Beyond one pair of the largest tensor, the ring holds this much read ahead: what a disk delivers while the
/// largest tensor goes through its last passes.
constexpr uint64_t kReadAhead = 256 << 20;

uint64_t round_down(uint64_t x) { return x / kDirectAlignment * kDirectAlignment; }
uint64_t round_up(uint64_t x) { return round_down(x + kDirectAlignment - 1); }

}  // namespace

void ArrivingPair::wait_for(uint64_t end) {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] {
    return failure_ || std::all_of(std::begin(sides_), std::end(sides_),
                                   [&](const Side& side) { return side.arrived >= side.lead + end; });
  });
  if (failure_) std::rethrow_exception(failure_);
}

PairReader::PairReader(InputFiles& inputs, std::vector<Pair> pairs)
    : inputs_(inputs), pairs_(std::move(pairs)), queue_(make_io_queue(kReadsInFlight)) {
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

void PairReader::cancel() {
  fail(std::make_exception_ptr(Error("ERR_CANCELLED", "The operation was cancelled")));
}

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

ArrivingPair::Side PairReader::plan_side(const ByteRange& range) const {
  ArrivingPair::Side side;
  side.range = range;
  // The same room whether direct or not: an input may turn out to refuse direct reads.
  const uint64_t begin = round_down(range.begin);
  side.lead = range.begin - begin;
  side.read_bytes = range.size() == 0 ? 0 : round_up(std::min(range.end, inputs_.bytes(range.input))) - begin;
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
    if (cursor_.at[0] == pair.sides_[0].read_bytes && cursor_.at[1] == pair.sides_[1].read_bytes)
      cursor_ = {};
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
  const size_t input = side.range.input;
  const uint64_t offset = side.range.begin - side.lead + flight.begin;
  // Past the end of the file there is nothing to read; direct I/O still asks for the whole block.
  const uint64_t size = inputs_.direct(input)
                            ? flight.end - flight.begin
                            : std::min(flight.end - flight.begin, inputs_.bytes(input) - offset);
  flights_[next_tag_] = flight;
  queue_->submit(
      {inputs_.file(input).descriptor(), false, side.memory + flight.begin, size, offset, next_tag_++});
}

void PairReader::complete(const IoQueue::Completion& completion) {
  const Flight flight = flights_.extract(completion.tag).mapped();
  ArrivingPair::Side& side = flight.pair->sides_[flight.side];
  const size_t input = side.range.input;
  const std::string& path = inputs_.file(input).path();
  if (completion.result == -EINVAL && inputs_.direct(input)) {
    inputs_.give_up_direct(input);
    return submit(flight);
  }
  if (completion.result == -EAGAIN || completion.result == -EINTR) return submit(flight);
  if (completion.result < 0)
    throw Error("ERR_FILE_READ",
                path + ": cannot read: " + std::generic_category().message(int(-completion.result)) + ".");
  const uint64_t offset = side.range.begin - side.lead + flight.begin;
  const uint64_t expected = std::min(flight.end - flight.begin, inputs_.bytes(input) - offset);
  const uint64_t got = std::min(uint64_t(completion.result), expected);
  uint64_t arrived_end = flight.end;
  if (got < expected) {
    // The rest goes again, from the last whole block.
    if (round_down(got) == 0) throw_file_changed(path);
    arrived_end = flight.begin + round_down(got);
    submit({flight.pair, flight.side, arrived_end, flight.end});
  }
  std::lock_guard lock(flight.pair->mutex_);
  side.ahead[flight.begin] = arrived_end;
  for (auto next = side.ahead.find(side.arrived); next != side.ahead.end();
       next = side.ahead.find(side.arrived)) {
    side.arrived = next->second;
    side.ahead.erase(next);
  }
  flight.pair->arrived_.notify_all();
}

}  // namespace branchmerge
