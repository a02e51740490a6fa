#include "methods/choose_devices.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>

#include "checkpoint/hash.h"
#include "cuda/devices.h"
#include "error.h"
#include "fusion/fuse_operator.h"
#include "methods/device_lane.h"
#include "methods/plan_tensor.h"
#include "tensor/worker_pool.h"

namespace branchmerge {
namespace {

using cuda::Device, cuda::Devices;

/// What starting devices and pinning memory takes, in seconds: less work is not worth it.
constexpr double kStartSeconds = 1;

std::string list_of(const std::vector<size_t>& indices) {
  std::string text;
  for (const size_t index : indices) text += (text.empty() ? "" : ",") + std::to_string(index);
  return text;
}

std::string rate_text(double bytes_per_second) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GB/s", bytes_per_second / 1e9);
  return text;
}

std::vector<size_t> usable(const Devices& devices) {
  std::vector<size_t> indices;
  for (const Device& device : devices.found)
    if (device.unusable.empty()) indices.push_back(device.index);
  return indices;
}

DeviceChoice requested(const DeviceRequest& request, const Devices& devices) {
  if (!devices.unavailable.empty())
    throw Error("ERR_DEVICE_UNAVAILABLE", "Expected a CUDA device for device 'cuda' but " +
                                              devices.unavailable +
                                              ". Run with device 'cpu' (--device cpu) or 'auto'.");
  for (const size_t index : request.indices) {
    if (index >= devices.found.size())
      throw Error("ERR_DEVICE_UNAVAILABLE",
                  "Expected CUDA devices 0 to " + std::to_string(devices.found.size() - 1) +
                      " for device but received 'cuda:" + list_of(request.indices) + "'");
    if (const Device& device = devices.found[index]; !device.unusable.empty())
      throw Error("ERR_DEVICE_UNAVAILABLE", "CUDA device " + std::to_string(index) + " (" + device.name +
                                                ") cannot be used: " + device.unusable);
  }
  return {request.indices.empty() ? usable(devices) : request.indices, "asked for"};
}

/// Bytes of the operands of all fusions that devices could make.
uint64_t bytes_to_fuse(const MergePlan& plan) {
  uint64_t bytes = 0;
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    if (tensor.done || !merges_on_devices(plan, tensor)) continue;
    const uint64_t operands = 2 * elements_of(tensor) * dtype_bits(tensor.dtype) / 8;
    bytes += operands * plan.programs[tensor.program].size();
  }
  return bytes;
}

DeviceChoice nothing_for_devices() { return {{}, "nothing of this merge is computed on devices"}; }

/// A bf16 pair like two fine-tunes.
class Sample {
 public:
  static constexpr uint64_t kRow = 4096, kElements = 512 * kRow;
  Sample() : info_{"sample", DType::BF16, {kElements / kRow, kRow}, kElements}, sides_(2) {
    std::minstd_rand random(1);
    for (std::vector<uint16_t>& side : sides_) side.resize(kElements);
    for (uint64_t i = 0; i < kElements; i++) {
      sides_[0][i] = uint16_t(0x3c00 + (random() & 0x80ff));  // around ±0.01
      sides_[1][i] = uint16_t(sides_[0][i] ^ (random() & 1));
    }
  }
  const OperandInfo& info() const { return info_; }
  static constexpr uint64_t bytes() { return 2 * kElements * sizeof(uint16_t); }
  const std::byte* side(size_t index) const {
    return reinterpret_cast<const std::byte*>(sides_[index].data());
  }

 private:
  OperandInfo info_;
  std::vector<std::vector<uint16_t>> sides_;
};

class SampleReader final : public TensorReader {
 public:
  explicit SampleReader(const std::byte* bytes) : bytes_(bytes) {}
  const std::byte* fetch(size_t, uint64_t begin, uint64_t) override { return bytes_ + begin; }

 private:
  const std::byte* bytes_;
};

/// Input bytes a second that this machine's threads hash, and fuse.
struct HostRates {
  double hash, fuse;
};

template <class Body>
double seconds_of(const Body& body) {
  const auto started = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

HostRates measure_host(const MergePlan& plan) {
  const Sample sample;
  SampleReader left(sample.side(0)), right(sample.side(1));
  const std::vector<TensorReader*> operands{&left, &right};
  WorkerPool pool(plan.threads);
  FusionScratch scratch;
  const uint64_t stretch = kHashPieceBytes / sizeof(uint16_t), stretches = Sample::kElements / stretch;
  std::vector<std::vector<std::byte>> out(plan.threads, std::vector<std::byte>(kHashPieceBytes));
  const auto fuse = [&] {
    FuseOperator fusion(sample.info(), DType::BF16, {}, *plan.instruction_set, scratch);
    fusion.prepare(operands, pool);
    pool.for_each(stretches, [&](size_t worker, size_t i) {
      fusion.apply(worker, i * stretch, (i + 1) * stretch, operands, out[worker].data());
    });
  };
  std::atomic<uint64_t> hashes{0};
  const auto hash = [&] {
    pool.for_each(stretches, [&](size_t, size_t i) {
      for (size_t side = 0; side < 2; side++)
        hashes += xxh64({sample.side(side) + i * kHashPieceBytes, kHashPieceBytes});
    });
  };
  fuse();  // the first one waits for pages and clocks
  return {double(Sample::bytes()) / seconds_of(hash), double(Sample::bytes()) / seconds_of(fuse)};
}

DeviceChoice measured(const Devices& devices, const MergePlan& plan) {
  const uint64_t bytes = bytes_to_fuse(plan);
  if (bytes == 0) return nothing_for_devices();
  const HostRates host = measure_host(plan);
  // The CPU hashes what it reads in either case.
  const double cpu = 1 / (1 / host.hash + 1 / host.fuse);
  if (double(bytes) / cpu < kStartSeconds) return {{}, "it takes less time than starting a device"};
  const std::vector<size_t> indices = usable(devices);
  double to_devices = 0;
  for (const size_t index : indices) to_devices += cuda::measure_copies(index).to_device;
  const double device = std::min(to_devices, host.hash);
  const std::string figures =
      rate_text(device) + " by way of " +
      (indices.size() == 1 ? devices.found[indices[0]].name : std::to_string(indices.size()) + " devices") +
      ", " + rate_text(cpu) + " on the CPU";
  const bool faster = kStartSeconds + double(bytes) / device < double(bytes) / cpu;
  return {faster ? indices : std::vector<size_t>{}, "measured " + figures};
}

}  // namespace

bool merges_on_devices(const MergePlan& plan, const MergePlan::Tensor& tensor) {
  if (!dtype_is_float(tensor.dtype) || elements_of(tensor) == 0 || tensor.tail) return false;
  const std::vector<Step>& program = plan.programs[tensor.program];
  return std::all_of(program.begin(), program.end(), [](const Step& step) { return step.method == "fuse"; });
}

DeviceChoice choose_devices(const DeviceRequest& request, const MergePlan& plan) {
  if (request.kind == DeviceRequest::Kind::kCpu) return {{}, "asked for"};
  const Devices devices = cuda::find_devices(false);
  if (request.kind == DeviceRequest::Kind::kCuda) {
    const DeviceChoice choice = requested(request, devices);
    return bytes_to_fuse(plan) == 0 ? nothing_for_devices() : choice;
  }
  if (!devices.unavailable.empty()) return {{}, devices.unavailable};
  try {
    return measured(devices, plan);
  } catch (const Error& error) {
    if (!cuda::is_device_failure(error.code)) throw;
    return {{}, error.what()};
  }
}

}  // namespace branchmerge
