#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "merge/devices/device_estimate.h"
#include "merge/merge_checkpoints.h"

namespace branchmerge {

/// What was asked for: `auto` (devices where they are faster), `cpu`, or devices.
struct DeviceRequest {
  enum class Kind : uint8_t { kAuto, kCpu, kCuda } kind = Kind::kCpu;
  std::vector<size_t> indices = {};  // of kCuda; none: all that can be used
};

/// The devices for a merge, measured where that decides (docs/cuda.md). Throws ERR_DEVICE_UNAVAILABLE when
/// devices were asked for that cannot be used, and with `auto` what reading the inputs throws.
DeviceChoice choose_devices(const DeviceRequest& request, const MergePlan& plan);

}  // namespace branchmerge
