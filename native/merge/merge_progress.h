#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>

#include "merge/merge_checkpoints.h"

namespace branchmerge {

/// Counts bytes from all threads and passes them on, at most some twenty times a second.
class Progress {
 public:
  Progress(const MergeCallbacks& callbacks, uint64_t bytes, uint64_t tensors)
      : callbacks_(callbacks), now_{0, bytes, 0, tensors} {}

  void add(uint64_t bytes, uint64_t tensors = 0) {
    std::lock_guard lock(mutex_);
    now_.bytes_done += bytes;
    now_.tensors_done += tensors;
    const auto time = std::chrono::steady_clock::now();
    const bool last = now_.bytes_done == now_.bytes_total && now_.tensors_done == now_.tensors_total;
    if (!last && time - reported_ < std::chrono::milliseconds(50)) return;
    reported_ = time;
    if (callbacks_.on_progress) callbacks_.on_progress(now_);
  }

 private:
  const MergeCallbacks& callbacks_;
  std::mutex mutex_;
  MergeProgress now_;
  std::chrono::steady_clock::time_point reported_{};
};

}  // namespace branchmerge
