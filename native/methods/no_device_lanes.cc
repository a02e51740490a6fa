// A build without nvcc: choose_devices never picks a device.
#include "error.h"
#include "methods/device_lane.h"

namespace branchmerge {

std::vector<std::unique_ptr<DeviceLane>> make_device_lanes(const MergePlan&, size_t,
                                                           const std::atomic<bool>&) {
  throw Error("ERR_DEVICE_UNAVAILABLE", "This build has no CUDA kernels");
}

}  // namespace branchmerge
