// A build without nvcc.
#include "base/error.h"
#include "cuda/devices.h"

namespace branchmerge::cuda {
namespace {

constexpr char kReason[] = "this build has no CUDA kernels: nvcc was not found when it was made";

[[noreturn]] void refuse() {
  throw Error("ERR_DEVICE_UNAVAILABLE", std::string("No CUDA device: ") + kReason);
}

}  // namespace

Devices find_devices(bool) {
  Devices devices;
  devices.unavailable = kReason;
  return devices;
}
std::unique_ptr<Pinned> pin(std::span<std::byte>, size_t) { refuse(); }

}  // namespace branchmerge::cuda
