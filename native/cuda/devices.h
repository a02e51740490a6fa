#pragma once
// The CUDA devices of this machine. Without CUDA's headers: every build has this.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace branchmerge::cuda {

struct Device {
  size_t index;  // as CUDA counts, CUDA_VISIBLE_DEVICES respected
  std::string name;
  int major, minor;  // compute capability
  uint64_t memory_bytes, free_bytes;
  std::string unusable = {};  // why it cannot be used; empty when it can
};

struct Devices {
  bool compiled = false;        // whether this build has the kernels
  std::string runtime, driver;  // versions as "13.0"; the driver's is that of CUDA which it supports at most
  std::vector<Device> found = {};
  std::string unavailable = {};  // why none can be used; empty when one can
};

/// What this build and machine have; never throws for what is missing. `memory`: whether to ask for the free
/// bytes, which starts each device (a part of a second).
Devices find_devices(bool memory);

/// Memory of the host that all devices copy from and to without a detour, for as long as this lives.
class Pinned {
 public:
  virtual ~Pinned() = default;
};
/// By way of a device that works. Throws what it throws.
std::unique_ptr<Pinned> pin(std::span<std::byte> memory, size_t device);

/// Whether an Error's code tells of a device that failed, and not of the merge.
inline bool is_device_failure(std::string_view code) {
  return code == "ERR_DEVICE_MEMORY" || code == "ERR_DEVICE_FAILED";
}

}  // namespace branchmerge::cuda
