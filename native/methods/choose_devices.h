#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "methods/merge_checkpoints.h"

namespace branchmerge {

/// What was asked for: `auto` (devices where they are faster), `cpu`, or devices.
struct DeviceRequest {
  enum class Kind : uint8_t { kAuto, kCpu, kCuda } kind = Kind::kCpu;
  std::vector<size_t> indices = {};  // of kCuda; none: all that can be used
};

struct DeviceChoice {
  std::vector<size_t> devices;  // none: the CPU
  std::string reason;           // in words: "the CPU would take longer: …"
};

/// The devices for a merge, measured where that decides (a part of a second at most). Throws
/// ERR_DEVICE_UNAVAILABLE when devices were asked for that cannot be used.
DeviceChoice choose_devices(const DeviceRequest& request, const MergePlan& plan);

}  // namespace branchmerge
