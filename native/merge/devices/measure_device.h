#pragma once
#include <cstddef>

#include "fusion/fusion_sample.h"

namespace branchmerge {

/// What a device does in a second.
struct DeviceRates {
  double to_device, from_device;  // bytes copied to and from pinned memory
  double fuse;                    // bytes of operands fused, in the device's memory
};

/// Starts the device, and measures for some 50 ms. Throws ERR_DEVICE_MEMORY, ERR_DEVICE_FAILED.
DeviceRates measure_device(size_t device, const FusionSample& sample);

}  // namespace branchmerge
