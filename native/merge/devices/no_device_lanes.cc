// A build without nvcc: choose_devices never picks a device.
#include "base/error.h"
#include "merge/devices/device_lane.h"
#include "merge/devices/measure_device.h"

namespace branchmerge {
namespace {

[[noreturn]] void refuse() { throw Error("ERR_DEVICE_UNAVAILABLE", "This build has no CUDA kernels"); }

}  // namespace

std::vector<std::unique_ptr<DeviceLane>> make_device_lanes(const MergePlan&, size_t,
                                                           const std::atomic<bool>&) {
  refuse();
}
DeviceRates measure_device(size_t, const FusionSample&) { refuse(); }

}  // namespace branchmerge
