#include "base/worker_pool.h"

namespace branchmerge {

WorkerPool::WorkerPool(size_t workers) : threads_([this] { stop(); }) {
  for (size_t worker = 1; worker < workers; worker++)
    threads_.start([this, worker] { wait_for_loops(worker); });
}

void WorkerPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  loop_started_.notify_all();
}

void WorkerPool::for_each(size_t count, const std::function<void(size_t, size_t)>& body) {
  if (count == 0) return;
  const bool shared = count > 1 && !threads_.empty();
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    count_ = count;
    next_ = 0;
    failure_ = nullptr;
    if (shared) {
      generation_++;
      busy_ = threads_.size();
    }
  }
  if (shared) loop_started_.notify_all();
  take_indices(0);
  std::unique_lock lock(mutex_);
  loop_finished_.wait(lock, [this] { return busy_ == 0; });
  if (failure_) std::rethrow_exception(failure_);
}

void WorkerPool::wait_for_loops(size_t worker) {
  size_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      loop_started_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
    }
    take_indices(worker);
    std::lock_guard lock(mutex_);
    if (--busy_ == 0) loop_finished_.notify_one();
  }
}

void WorkerPool::take_indices(size_t worker) {
  try {
    for (size_t index; (index = next_.fetch_add(1)) < count_;) (*body_)(worker, index);
  } catch (...) {
    next_ = count_;
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

}  // namespace branchmerge
