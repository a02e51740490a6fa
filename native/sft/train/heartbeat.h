#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "sft/train/json_line.h"

namespace branchmerge::sft {

/// Tells every few seconds, in heartbeat-<rank>.json, that this process lives and how far it is. A file that
/// cannot be written is left: what matters will fail on its own.
class Heartbeat {
 public:
  Heartbeat(const std::string& directory, size_t rank);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  void set_step(uint64_t step) { step_ = step; }
  /// A string literal: "loading", "training", "validating", "saving", "exporting", "ended".
  void set_phase(const char* phase) { phase_ = phase; }

 private:
  void beat() const;

  const std::string path_;
  /// Which process it is: its number means one only on its host, in its container, since its start.
  JsonLine process_;
  std::atomic<uint64_t> step_{0};
  std::atomic<const char*> phase_{"loading"};
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace branchmerge::sft
