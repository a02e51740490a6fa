#include "sft/train/heartbeat.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/start_thread.h"
#include "sft/train/clock.h"
#include "sft/train/durable_files.h"
#include "sft/train/json_line.h"

namespace branchmerge::sft {
namespace {

// A reader may call a process stuck when it has missed a few.
constexpr std::chrono::seconds kInterval{3};

/// The first line, or nothing of a file that is hidden from us.
std::string line_of(const char* path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::string link_of(const char* path) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = readlink(path, target.data(), target.size());
  return size < 0 ? std::string() : std::string(target.data(), size_t(size));
}

/// Field 22 of /proc/self/stat, in clock ticks after the start of the host. The second, the program's name,
/// may hold spaces and parentheses.
uint64_t start_of_this_process() {
  const std::string stat = line_of("/proc/self/stat");
  std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
  std::string field;
  for (size_t i = 3; i <= 22 && fields >> field; i++) continue;
  return std::strtoull(field.c_str(), nullptr, 10);
}

}  // namespace

Heartbeat::Heartbeat(const std::string& directory, size_t rank)
    : path_(directory + "/heartbeat-" + std::to_string(rank) + ".json") {
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '-';
  process_.integer("rank", rank).text("host", host.data());
  process_.text("boot", line_of("/proc/sys/kernel/random/boot_id"));
  process_.text("pidNamespace", link_of("/proc/self/ns/pid"));
  process_.integer("pid", uint64_t(getpid())).integer("started", start_of_this_process());
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
  JsonLine line = process_;
  line.text("phase", phase_.load()).integer("step", step_).number("time", seconds_since_1970());
  try {
    replace_file(path_, line.json() + "\n", false);
  } catch (const Error&) {
    return;
  }
}

}  // namespace branchmerge::sft
