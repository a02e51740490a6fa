#include "merge/devices/device_estimate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace branchmerge {
namespace {

/// What starting devices and pinning memory takes, in seconds: less is not worth it.
constexpr double kStartSeconds = 1;

std::string bytes_a_second(double rate) {
  char text[32];
  if (rate < 1e9)
    std::snprintf(text, sizeof text, "%.0f MB/s", rate / 1e6);
  else
    std::snprintf(text, sizeof text, "%.1f GB/s", rate / 1e9);
  return text;
}

double seconds_for(uint64_t bytes, double rate) { return bytes == 0 ? 0 : double(bytes) / rate; }

/// Seconds for all of the work: of the link, both directions of which go at once, and of the kernels.
struct DeviceSeconds {
  double link, kernels;
};

/// Devices share the work, and each is as slow as the slower of the two.
DeviceSeconds seconds_of(const DeviceRates& rates, const MergeWork& work) {
  return {std::max(seconds_for(work.copied, rates.to_device), seconds_for(work.written, rates.from_device)),
          seconds_for(work.fused, rates.fuse)};
}

std::string name_of(const std::vector<MeasuredDevice>& devices) {
  if (devices.size() == 1) return devices[0].name;
  const bool alike = std::all_of(devices.begin(), devices.end(), [&](const MeasuredDevice& device) {
    return device.name == devices[0].name;
  });
  return std::to_string(devices.size()) + (alike ? " × " + devices[0].name : " devices");
}

/// The sentence as a part of another.
std::string without_period(const std::string& sentence) {
  return sentence.ends_with('.') ? sentence.substr(0, sentence.size() - 1) : sentence;
}

}  // namespace

DeviceEstimate::DeviceEstimate(const MergeWork& work, const HostRates& host, std::optional<double> disk)
    : work_(work),
      disk_(disk),
      disk_seconds_(disk ? seconds_for(work.cold, *disk) : 0),
      hash_seconds_(seconds_for(work.read + work.written, host.hash)),
      cpu_seconds_(hash_seconds_ + seconds_for(work.fused, host.fuse)) {}

/// All rates are of what is read, so that they can be compared.
std::string DeviceEstimate::rate_text(double seconds) const {
  return bytes_a_second(double(work_.read) / seconds);
}

std::string DeviceEstimate::host_text() const {
  std::string text = rate_text(cpu_seconds_) + " on the CPU";
  if (work_.cold == 0) return text + ", the models in memory";
  if (!disk_) return text;
  text += ", disk " + bytes_a_second(*disk_);
  const double percent = std::round(100 * double(work_.cold) / double(work_.read));
  return percent < 100 ? text + " for " + std::to_string(int(percent)) + " % of the models" : text;
}

std::optional<std::string> DeviceEstimate::why_no_device() const {
  if (cpu_seconds_ < kStartSeconds) return "it takes less time than starting a device";
  if (disk_seconds_ >= cpu_seconds_) return "devices would wait for the disk, too: " + host_text();
  const double least = std::max(disk_seconds_, hash_seconds_);
  if (kStartSeconds + least >= cpu_seconds_)
    return "no device could gain more than the time to start it: " + host_text();
  return std::nullopt;
}

DeviceChoice DeviceEstimate::choose(const std::vector<MeasuredDevice>& devices) const {
  std::vector<MeasuredDevice> working;
  std::string failures;
  for (const MeasuredDevice& device : devices) {
    if (device.failure.empty())
      working.push_back(device);
    else
      failures += (failures.empty() ? "" : "; ") + without_period(device.failure);
  }
  if (working.empty()) return {{}, failures};

  double share = 0, links = 0, kernels = 0;  // of the work that is done in a second
  std::vector<size_t> indices;
  for (const MeasuredDevice& device : working) {
    const DeviceSeconds seconds = seconds_of(device.rates, work_);
    share += 1 / std::max(seconds.link, seconds.kernels);
    links += 1 / seconds.link;
    kernels += 1 / seconds.kernels;
    indices.push_back(device.index);
  }
  const bool one = working.size() == 1;
  const double devices_alone = 1 / share, with_devices = std::max(devices_alone, hash_seconds_);
  const char* bound = hash_seconds_ >= devices_alone ? "what the CPU hashes"
                      : links <= kernels ? (one ? "what its link carries" : "what their links carry")
                                         : (one ? "what it computes" : "what they compute");
  std::string reason = name_of(working) + ": " + rate_text(with_devices) + " with " + (one ? "it" : "them") +
                       " (" + bound + "), " + host_text();
  // The disk is faster than the CPU (why_no_device), and bounds devices alone.
  const double seconds = kStartSeconds + std::max(disk_seconds_, with_devices);
  if (seconds >= cpu_seconds_) {
    indices.clear();
    if (with_devices < cpu_seconds_) reason += "; too little gained for the time to start";
  }
  if (!failures.empty()) reason += "; left out: " + failures;
  return {indices, reason};
}

}  // namespace branchmerge
