#include "sft/train/heartbeat.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <climits>

#include "base/error.h"
#include "base/start_thread.h"
#include "sft/train/clock.h"
#include "sft/train/durable_files.h"
#include "sft/train/json_line.h"

namespace branchmerge::sft {
namespace {

// A reader may call a process stuck when it has missed a few.
constexpr std::chrono::seconds kInterval{3};

}  // namespace

Heartbeat::Heartbeat(const std::string& directory, size_t rank)
    : path_(directory + "/heartbeat-" + std::to_string(rank) + ".json"), rank_(rank) {
  thread_ = start_thread([this] {
    std::unique_lock lock(mutex_);
    do beat();
    while (!stopped_.wait_for(lock, kInterval, [this] { return stopping_; }));
  });
}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stopped_.notify_all();
  }
  thread_.join();
  beat();
}

void Heartbeat::beat() const {
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '-';
  JsonLine line;
  line.integer("rank", rank_).text("host", host.data()).integer("pid", uint64_t(getpid()));
  line.text("phase", phase_.load()).integer("step", step_).number("time", seconds_since_1970());
  try {
    replace_file(path_, line.json() + "\n", false);
  } catch (const Error&) {
    return;
  }
}

}  // namespace branchmerge::sft
