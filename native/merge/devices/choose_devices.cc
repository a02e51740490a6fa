#include "merge/devices/choose_devices.h"

#include <string>

#include "base/error.h"
#include "base/worker_pool.h"
#include "cuda/devices.h"
#include "fusion/fusion_sample.h"
#include "io/measure_reads.h"
#include "merge/devices/measure_device.h"
#include "merge/devices/measure_host.h"
#include "merge/merge_work.h"

namespace branchmerge {
namespace {

using cuda::Device, cuda::Devices;

std::string list_of(const std::vector<size_t>& indices) {
  std::string text;
  for (const size_t index : indices) text += (text.empty() ? "" : ",") + std::to_string(index);
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

/// Of the largest tensors, how many are read from to measure the disk.
constexpr size_t kReadsToMeasure = 4;

/// All at the same time, as they would work.
std::vector<MeasuredDevice> measure(const Devices& devices, const FusionSample& sample) {
  std::vector<MeasuredDevice> measured;
  for (const size_t index : usable(devices)) measured.push_back({index, devices.found[index].name, {}});
  WorkerPool pool(measured.size());
  pool.for_each(measured.size(), [&](size_t, size_t i) {
    try {
      measured[i].rates = measure_device(measured[i].index, sample);
    } catch (const Error& error) {
      if (!cuda::is_device_failure(error.code)) throw;
      measured[i].failure = error.what();
    }
  });
  return measured;
}

DeviceChoice measured_choice(const Devices& devices, const MergePlan& plan) {
  InputFiles inputs(plan.inputs);
  const MergeWork work = count_work(plan, inputs);
  const FusionSample sample(main_fusion(plan), rows_for_threads(plan.threads));
  const HostRates host = measure_host(sample, *plan.instruction_set, plan.threads);
  if (const auto reason = DeviceEstimate(work, host, {}).why_no_device()) return {{}, *reason};
  const auto disk = measure_reads(inputs, largest_cold_reads(plan, inputs, kReadsToMeasure));
  const DeviceEstimate estimate(work, host, disk);
  if (const auto reason = estimate.why_no_device()) return {{}, *reason};
  return estimate.choose(measure(devices, sample));
}

}  // namespace

DeviceChoice choose_devices(const DeviceRequest& request, const MergePlan& plan) {
  if (request.kind == DeviceRequest::Kind::kCpu) return {{}, "asked for"};
  const Devices devices = cuda::find_devices(false);
  const DeviceChoice nothing{{}, "nothing of this merge is computed on devices"};
  if (request.kind == DeviceRequest::Kind::kCuda) {
    const DeviceChoice choice = requested(request, devices);
    return any_for_devices(plan) ? choice : nothing;
  }
  if (!devices.unavailable.empty()) return {{}, devices.unavailable};
  return any_for_devices(plan) ? measured_choice(devices, plan) : nothing;
}

}  // namespace branchmerge
