#pragma once
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>

namespace branchmerge {

/// Runs actions one at a time in the order of their numbers (0, 1, …), whichever thread brings which when: an
/// action runs in the thread that brings the last one it waited for.
class InOrder {
 public:
  void put(size_t number, std::function<void()> action) {
    std::lock_guard lock(mutex_);
    waiting_.emplace(number, std::move(action));
    for (auto next = waiting_.find(next_); next != waiting_.end(); next = waiting_.find(next_)) {
      const std::function<void()> now = std::move(next->second);
      waiting_.erase(next);
      next_++;
      now();
    }
  }

 private:
  std::mutex mutex_;
  std::map<size_t, std::function<void()>> waiting_;
  size_t next_ = 0;
};

}  // namespace branchmerge
