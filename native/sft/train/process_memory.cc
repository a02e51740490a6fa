#include "sft/train/process_memory.h"

#include <fstream>
#include <string>

#include "base/error.h"

namespace branchmerge::sft {
namespace {

uint64_t read_status(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name)) return std::stoull(line.substr(name.size())) << 10;
  throw Error("ERR_INTERNAL", "Expected " + name + " in /proc/self/status");
}

}  // namespace

uint64_t resident_bytes() { return read_status("VmRSS:"); }
uint64_t peak_resident_bytes() { return read_status("VmHWM:"); }

}  // namespace branchmerge::sft
