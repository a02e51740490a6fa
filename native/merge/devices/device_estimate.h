#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "merge/devices/measure_device.h"
#include "merge/devices/measure_host.h"
#include "merge/merge_work.h"

namespace branchmerge {

struct DeviceChoice {
  std::vector<size_t> devices;  // none: the CPU
  std::string reason;           // in words and figures, one line
};

struct MeasuredDevice {
  size_t index;
  std::string name;
  DeviceRates rates;
  std::string failure = {};  // when it failed while it was measured; then it has no rates
};

/// How long a merge takes with devices and without, by what was measured. Reading, computing and writing
/// overlap, so that the slowest of them decides; that of the writing is the same in both cases, and left out.
class DeviceEstimate {
 public:
  /// disk: bytes a second of what is not in the page cache; nothing where that was not measured.
  DeviceEstimate(const MergeWork& work, const HostRates& host, std::optional<double> disk);

  /// Why the fastest device would not be worth its start; nothing where one might be.
  std::optional<std::string> why_no_device() const;
  /// All devices that did not fail, where they are faster, start included. One device at least.
  DeviceChoice choose(const std::vector<MeasuredDevice>& devices) const;

 private:
  std::string rate_text(double seconds) const;
  std::string host_text() const;

  const MergeWork work_;
  const std::optional<double> disk_;
  const double disk_seconds_, hash_seconds_, cpu_seconds_;
};

}  // namespace branchmerge
