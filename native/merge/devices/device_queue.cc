#include "merge/devices/device_queue.h"

#include <algorithm>

namespace branchmerge {

DeviceQueue::DeviceQueue(std::vector<std::unique_ptr<DeviceLane>> lanes, std::function<void()> on_failure)
    : on_failure_(std::move(on_failure)), threads_([this] { stop(); }) {
  for (std::unique_ptr<DeviceLane>& lane : lanes) slots_.emplace_back().lane = std::move(lane);
  for (Slot& slot : slots_) threads_.start([this, &slot] { serve(slot); });
}

void DeviceQueue::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  given_.notify_all();
}

bool DeviceQueue::run(uint64_t bytes, const Task& task) {
  std::unique_lock lock(mutex_);
  Slot* slot = nullptr;
  done_.wait(lock, [&] { return failure_ || !any_left() || (slot = free_slot()) != nullptr; });
  if (failure_) std::rethrow_exception(failure_);
  if (slot == nullptr) return false;
  slot->bytes = bytes;
  slot->task = task;
  given_.notify_all();
  return true;
}

void DeviceQueue::give_up(size_t device) {
  std::lock_guard lock(mutex_);
  for (Slot& slot : slots_)
    if (slot.lane->device() == device) slot.given_up = true;
  done_.notify_all();
}

void DeviceQueue::finish() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] {
    return std::all_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.task == nullptr; });
  });
  if (failure_) std::rethrow_exception(failure_);
}

std::exception_ptr DeviceQueue::failure() {
  std::lock_guard lock(mutex_);
  return failure_;
}

void DeviceQueue::serve(Slot& slot) {
  std::unique_lock lock(mutex_);
  for (;;) {
    given_.wait(lock, [&] { return stopping_ || slot.task != nullptr; });
    if (slot.task == nullptr) return;
    lock.unlock();
    std::exception_ptr failure;
    try {
      slot.task(*slot.lane);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    const bool first = failure && !failure_;
    if (first) failure_ = failure;
    slot.task = nullptr;
    slot.bytes = 0;
    done_.notify_all();
    if (!first) continue;
    lock.unlock();
    on_failure_();
    lock.lock();
  }
}

uint64_t DeviceQueue::bytes_on(size_t device) const {
  uint64_t bytes = 0;
  for (const Slot& slot : slots_)
    if (slot.lane->device() == device) bytes += slot.bytes;
  return bytes;
}

DeviceQueue::Slot* DeviceQueue::free_slot() {
  Slot* chosen = nullptr;
  for (Slot& slot : slots_) {
    if (slot.task != nullptr || slot.given_up) continue;
    if (chosen == nullptr || bytes_on(slot.lane->device()) < bytes_on(chosen->lane->device())) chosen = &slot;
  }
  return chosen;
}

bool DeviceQueue::any_left() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.given_up; });
}

}  // namespace branchmerge
