#include "io/read_ahead.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace branchmerge {
namespace {

/// Beyond the largest group in use, the ring holds this much read ahead, and at least half of that group:
/// what a disk delivers while the largest tensor goes through its last passes.
constexpr uint64_t kReadAhead = 256 << 20;

uint64_t round_down(uint64_t x) { return x / kDirectAlignment * kDirectAlignment; }
uint64_t round_up(uint64_t x) { return round_down(x + kDirectAlignment - 1); }

}  // namespace

const std::byte* ArrivingGroup::wait_for(size_t index, uint64_t end) {
  std::unique_lock lock(mutex_);
  const Part& part = parts_[index];
  arrived_.wait(lock, [&] { return failure_ || part.arrived >= part.lead + end; });
  if (failure_) std::rethrow_exception(failure_);
  return part.memory + part.lead;
}

uint64_t ReadAhead::room(const Group& group) {
  uint64_t bytes = 0;
  for (const ByteRange& range : group) bytes += plan_part(range).read_bytes;
  return bytes;
}

ReadAhead::ReadAhead(InputFiles& inputs, std::vector<Group> groups, uint64_t memory, size_t in_use)
    : inputs_(inputs),
      groups_(std::move(groups)),
      queue_(make_io_queue(kReadsInFlight)),
      threads_([this] { cancel(); }) {
  uint64_t largest = kDirectAlignment, all = kDirectAlignment;
  for (const Group& group : groups_) {
    largest = std::max(largest, room(group));
    all += room(group);
  }
  const uint64_t ahead = std::max(kReadAhead, largest / 2);
  arena_ = std::make_unique<PageBuffer>(std::max(largest, std::min({all, in_use * largest + ahead, memory})));
  threads_.start([this] { serve(); });
  for (size_t i = 0; i < kPopulators; i++) threads_.start([this, i] { populate(i); });
}

void ReadAhead::cancel() {
  fail(std::make_exception_ptr(Error("ERR_CANCELLED", "The operation was cancelled")));
}

void ReadAhead::fail(std::exception_ptr failure) {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  if (!failure_) failure_ = std::move(failure);
  for (const std::unique_ptr<ArrivingGroup>& group : groups_alive_) {
    std::lock_guard group_lock(group->mutex_);
    group->failure_ = failure_;
    group->arrived_.notify_all();
  }
  group_begun_.notify_all();
  memory_freed_.notify_all();
}

ArrivingGroup& ReadAhead::next() {
  std::unique_lock lock(mutex_);
  group_begun_.wait(lock, [this] { return failure_ || handed_out_ < groups_alive_.size(); });
  if (failure_) std::rethrow_exception(failure_);
  return *groups_alive_[handed_out_++];
}

void ReadAhead::release() {
  std::lock_guard lock(mutex_);
  tail_ = groups_alive_.front()->arena_end_;
  groups_alive_.pop_front();
  handed_out_--;
  releases_++;
  memory_freed_.notify_all();
}

ArrivingGroup::Part ReadAhead::plan_part(const ByteRange& range) {
  ArrivingGroup::Part part;
  part.range = range;
  // The same room whether direct or not: an input may turn out to refuse direct reads.
  const uint64_t begin = round_down(range.begin);
  part.lead = range.begin - begin;
  part.read_bytes = range.size() == 0 ? 0 : round_up(range.end) - begin;
  return part;
}

/// Zeroing the ring's pages, and on a virtual machine getting them at all, can take longer than reading into
/// them: it is done ahead of the reads, by more than one thread.
void ReadAhead::populate(size_t which) const {
  constexpr uint64_t kStep = 16 << 20;
  for (uint64_t begin = which * kStep; begin < arena_->size() && !stopping_; begin += kPopulators * kStep)
    arena_->populate(begin, std::min<uint64_t>(arena_->size(), begin + kStep));
}

void ReadAhead::serve() {
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
      if (current_ == nullptr && next_group_ == groups_.size()) break;
      // Nothing in flight and no memory for the next group.
      std::unique_lock lock(mutex_);
      memory_freed_.wait(lock, [&] { return stopping_ || releases_ != seen; });
    }
  } catch (...) {
    fail(std::current_exception());
  }
  while (queue_->pending() > 0) queue_->wait();  // the kernel may still write into the arena
}

/// Fills the queue.
void ReadAhead::read_ahead() {
  while (queue_->pending() < queue_->depth()) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    if (current_ == nullptr) {
      if (next_group_ == groups_.size() || !begin_group()) return;
      continue;
    }
    ArrivingGroup& group = *current_;
    size_t chosen = 0;
    next_part(chosen);
    ArrivingGroup::Part& part = group.parts_[chosen];
    const uint64_t begin = part.requested, end = std::min(begin + kReadBytes, part.read_bytes);
    part.requested = end;
    // Once all of it is asked for, the group may arrive, be used and be released at any moment.
    if (!next_part(chosen)) current_ = nullptr;
    submit({&group, size_t(&part - group.parts_.data()), begin, end});
  }
}

/// The part of the current group that was asked for least, so that the parts arrive together; false when all
/// were asked for in full.
bool ReadAhead::next_part(size_t& chosen) const {
  bool any = false;
  for (size_t i = 0; i < current_->parts_.size(); i++) {
    const ArrivingGroup::Part& part = current_->parts_[i];
    if (part.requested == part.read_bytes) continue;
    if (!any || part.requested < current_->parts_[chosen].requested) chosen = i;
    any = true;
  }
  return any;
}

/// Takes memory for the next group; false when there is none yet.
bool ReadAhead::begin_group() {
  auto group = std::make_unique<ArrivingGroup>();
  for (const ByteRange& range : groups_[next_group_]) group->parts_.push_back(plan_part(range));
  std::lock_guard lock(mutex_);
  std::byte* memory = reserve(room(groups_[next_group_]));
  if (memory == nullptr) return false;
  for (ArrivingGroup::Part& part : group->parts_) {
    part.memory = memory;
    memory += part.read_bytes;
    if (part.read_bytes == 0) part.arrived = part.lead;
  }
  group->arena_end_ = head_;
  if (room(groups_[next_group_]) > 0) current_ = group.get();
  groups_alive_.push_back(std::move(group));
  next_group_++;
  group_begun_.notify_all();
  return true;
}

/// Contiguous memory from the ring, or nullptr.
std::byte* ReadAhead::reserve(uint64_t bytes) {
  if (groups_alive_.empty()) head_ = tail_ = 0;
  const bool wrapped = !groups_alive_.empty() && head_ <= tail_;
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

void ReadAhead::submit(const Flight& flight) {
  const ArrivingGroup::Part& part = flight.group->parts_[flight.part];
  const size_t input = part.range.input;
  const uint64_t offset = part.range.begin - part.lead + flight.begin;
  // Past the end of the file there is nothing to read; direct I/O still asks for the whole block.
  const uint64_t size = inputs_.direct(input)
                            ? flight.end - flight.begin
                            : std::min(flight.end - flight.begin, inputs_.bytes(input) - offset);
  flights_[next_tag_] = flight;
  queue_->submit(
      {inputs_.file(input).descriptor(), false, part.memory + flight.begin, size, offset, next_tag_++});
}

void ReadAhead::complete(const IoQueue::Completion& completion) {
  const Flight flight = flights_.extract(completion.tag).mapped();
  ArrivingGroup::Part& part = flight.group->parts_[flight.part];
  const size_t input = part.range.input;
  const std::string& path = inputs_.file(input).path();
  if (completion.result == -EINVAL && inputs_.direct(input)) {
    inputs_.give_up_direct(input);
    return submit(flight);
  }
  if (completion.result == -EAGAIN || completion.result == -EINTR) return submit(flight);
  if (completion.result < 0)
    throw Error("ERR_FILE_READ",
                path + ": cannot read: " + std::generic_category().message(int(-completion.result)) + ".");
  const uint64_t offset = part.range.begin - part.lead + flight.begin;
  const uint64_t expected = std::min(flight.end - flight.begin, inputs_.bytes(input) - offset);
  const uint64_t got = std::min(uint64_t(completion.result), expected);
  uint64_t arrived_end = flight.end;
  if (got < expected) {
    // The rest goes again, from the last whole block.
    if (round_down(got) == 0) throw_file_changed(path);
    arrived_end = flight.begin + round_down(got);
    submit({flight.group, flight.part, arrived_end, flight.end});
  }
  std::lock_guard lock(flight.group->mutex_);
  part.ahead[flight.begin] = arrived_end;
  for (auto next = part.ahead.find(part.arrived); next != part.ahead.end();
       next = part.ahead.find(part.arrived)) {
    part.arrived = next->second;
    part.ahead.erase(next);
  }
  flight.group->arrived_.notify_all();
}

}  // namespace branchmerge
