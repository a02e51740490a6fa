#include "cuda/devices.h"

#include <algorithm>

#include "cuda/runtime.h"

namespace branchmerge::cuda {
namespace {

/// The oldest that the kernels are compiled for (docs/cuda.md).
constexpr int kOldestMajor = 8;

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string why_no_devices(cudaError_t status, const Devices& devices) {
  const std::string answer = std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
  if (status == cudaErrorInsufficientDriver)
    return devices.driver.empty() ? "no NVIDIA driver: libcuda.so.1 cannot be loaded"
                                  : "the NVIDIA driver is too old: it supports CUDA " + devices.driver +
                                        ", and this build needs " + devices.runtime;
  if (status == cudaErrorNoDevice)
    return "the NVIDIA driver shows no device; CUDA_VISIBLE_DEVICES and the container decide which it shows";
  return "the NVIDIA driver answers: " + answer;
}

Device describe(size_t index, bool memory) {
  Device device{index, "CUDA device " + std::to_string(index), 0, 0, 0, 0};
  cudaDeviceProp properties{};
  if (const cudaError_t status = cudaGetDeviceProperties(&properties, int(index)); status != cudaSuccess) {
    cudaGetLastError();
    device.unusable = cudaGetErrorString(status);
    return device;
  }
  device.name = properties.name;
  device.major = properties.major;
  device.minor = properties.minor;
  device.memory_bytes = properties.totalGlobalMem;
  if (device.major < kOldestMajor) {
    device.unusable = "compute capability " + std::to_string(device.major) + "." +
                      std::to_string(device.minor) + ", and " + std::to_string(kOldestMajor) +
                      ".0 is the oldest that has kernels";
    return device;
  }
  if (!memory) return device;
  size_t available = 0, total = 0;
  cudaError_t status = cudaSetDevice(int(index));
  if (status == cudaSuccess) status = cudaMemGetInfo(&available, &total);
  if (status != cudaSuccess) {
    cudaGetLastError();
    device.unusable = std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
  }
  device.free_bytes = available;
  return device;
}

class PinnedSpan final : public Pinned {
 public:
  explicit PinnedSpan(std::span<std::byte> memory) : region_(memory.data(), memory.size()) {}

 private:
  PinnedRegion region_;
};

}  // namespace

Devices find_devices(bool memory) {
  Devices devices{true, {}, {}};
  int version = 0, count = 0;
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) devices.runtime = version_text(version);
  if (cudaDriverGetVersion(&version) == cudaSuccess && version > 0) devices.driver = version_text(version);
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status != cudaSuccess) {
    devices.unavailable = why_no_devices(status, devices);
    return devices;
  }
  for (int i = 0; i < count; i++) devices.found.push_back(describe(size_t(i), memory));
  const bool any = std::any_of(devices.found.begin(), devices.found.end(),
                               [](const Device& device) { return device.unusable.empty(); });
  if (devices.found.empty()) devices.unavailable = why_no_devices(cudaErrorNoDevice, devices);
  if (!any && !devices.found.empty())
    devices.unavailable = devices.found[0].name + ": " + devices.found[0].unusable;
  return devices;
}

std::unique_ptr<Pinned> pin(std::span<std::byte> memory, size_t device) {
  start_device(device);
  return std::make_unique<PinnedSpan>(memory);
}

}  // namespace branchmerge::cuda
