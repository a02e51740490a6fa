#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>

#include "base/start_thread.h"

namespace branchmerge {

/// A fixed number of workers that share loops. The calling thread is worker 0.
class WorkerPool {
 public:
  /// ERR_THREADS.
  explicit WorkerPool(size_t workers);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  size_t workers() const { return threads_.size() + 1; }

  /// Calls body(worker, index) once for each index below count, handed out in ascending order. Returns when
  /// all are done; the first exception stops the handing out and is thrown again here.
  void for_each(size_t count, const std::function<void(size_t worker, size_t index)>& body);

 private:
  void stop();
  void wait_for_loops(size_t worker);
  void take_indices(size_t worker);

  std::mutex mutex_;
  std::condition_variable loop_started_, loop_finished_;
  const std::function<void(size_t, size_t)>* body_ = nullptr;
  size_t count_ = 0;
  std::atomic<size_t> next_{0};
  size_t generation_ = 0;
  size_t busy_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  Threads threads_;
};

}  // namespace branchmerge
