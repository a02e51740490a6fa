#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "sft/parallel/collectives.h"

namespace branchmerge::sft {

/// Threads of one program that play the processes of a run. Before each meeting they wait for times that
/// differ from run to run, so that a result which depends on who comes first shows.
class ThreadGroup {
 public:
  explicit ThreadGroup(size_t size) : size_(size), arguments_(size) {}

  /// Calls body once for each rank and returns when all are done. Throws what the first to fail threw.
  void run(const std::function<void(Collectives&)>& body);

 private:
  class Member;

  void meet();

  size_t size_;
  std::vector<void*> arguments_;  // of each rank in the current call
  std::mutex mutex_;
  std::condition_variable all_here_;
  size_t waiting_ = 0;
  uint64_t meetings_ = 0;
  std::exception_ptr failure_;
};

}  // namespace branchmerge::sft
