#pragma once
#include "base/start_thread.h"

namespace branchmerge::sft {

/// Watches the end of a pipe whose other end whoever started this process keeps open. When that has gone,
/// however it ended, nobody listens any more, and nobody could stop the training: then it is asked to save
/// and end, as by SIGTERM.
class ListenerWatch {
 public:
  /// `descriptor`: of the pipe; what comes through it is dropped. ERR_THREADS.
  explicit ListenerWatch(int descriptor);
  ListenerWatch(const ListenerWatch&) = delete;
  ListenerWatch& operator=(const ListenerWatch&) = delete;

 private:
  void watch() const;

  struct Event {
    const int descriptor;
    ~Event();
  };

  const int descriptor_;
  const Event stop_;
  Threads threads_;
};

}  // namespace branchmerge::sft
