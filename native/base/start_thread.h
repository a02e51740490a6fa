#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace branchmerge {

/// A thread that runs `body`. ERR_THREADS where the system has none left: a limit on processes, mostly.
template <class Body>
std::thread start_thread(Body body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    throw Error("ERR_THREADS",
                std::string("Cannot start another thread: ") + error.code().message() +
                    ". Use fewer threads (--threads, launcher.threads of a training), or raise the limit on "
                    "processes (ulimit -u, the pids limit of a container).");
  }
}

/// Threads that end together. As its owner's last member they end before anything that they use, also where
/// one of several cannot be started and the owner's constructor throws.
class Threads {
 public:
  /// `stop` makes all of them return.
  explicit Threads(std::function<void()> stop) : stop_(std::move(stop)) {}
  ~Threads() {
    if (threads_.empty()) return;
    stop_();
    for (std::thread& thread : threads_) thread.join();
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  template <class Body>
  void start(Body body) {
    threads_.reserve(threads_.size() + 1);
    threads_.push_back(start_thread(std::move(body)));
  }
  size_t size() const { return threads_.size(); }
  bool empty() const { return threads_.empty(); }

 private:
  const std::function<void()> stop_;
  std::vector<std::thread> threads_;
};

}  // namespace branchmerge
