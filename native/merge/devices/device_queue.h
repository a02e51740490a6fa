#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/start_thread.h"
#include "merge/devices/device_lane.h"

namespace branchmerge {

/// Hands tasks to the lanes of all devices, so that devices get their share by bytes: a task goes to a free
/// lane of the device with the fewest bytes under way. Every lane has a thread. The end of the queue waits
/// for the tasks under way.
class DeviceQueue {
 public:
  using Task = std::function<void(DeviceLane&)>;

  /// `on_failure` is called once when a task throws, from its thread: to wake up whoever waits for other
  /// parts of the merge.
  DeviceQueue(std::vector<std::unique_ptr<DeviceLane>> lanes, std::function<void()> on_failure);

  /// Has a lane run the task, as soon as one is free; false when no device is left, and nothing was taken.
  /// Throws the failure of an earlier task.
  bool run(uint64_t bytes, const Task& task);
  /// From a task: this device gets no further ones.
  void give_up(size_t device);
  /// Waits until all tasks are done, and throws the first failure.
  void finish();
  std::exception_ptr failure();

 private:
  struct Slot {
    std::unique_ptr<DeviceLane> lane;
    uint64_t bytes = 0;
    Task task;  // under way, or about to be
    bool given_up = false;
  };
  void stop();
  void serve(Slot& slot);
  uint64_t bytes_on(size_t device) const;
  Slot* free_slot();
  bool any_left() const;

  const std::function<void()> on_failure_;
  std::deque<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable given_, done_;
  bool stopping_ = false;
  std::exception_ptr failure_;
  Threads threads_;
};

}  // namespace branchmerge
