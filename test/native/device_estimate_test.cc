// The choice between devices and the CPU, by figures alone.
#include "merge/devices/device_estimate.h"

#include <doctest/doctest.h>

namespace branchmerge {
namespace {

constexpr double kGiga = 1e9;

/// A pair of models of 100 GB in all, fused once into one of 50 GB.
MergeWork work_of(double cold = 1) {
  const uint64_t read = 100'000'000'000;
  return {read, uint64_t(cold * double(read)), read, read, read / 2};
}

// Hashes 15 GB/s, or 150 GB in 10 s; fuses 100 GB in 40 s: 2 GB/s in all.
constexpr HostRates kHost{15 * kGiga, 2.5 * kGiga};

MeasuredDevice device(double link, double fuse, size_t index = 0, const std::string& name = "GPU") {
  return {index, name, {link * kGiga, link * kGiga, fuse * kGiga}};
}
MeasuredDevice failing(size_t index) {
  return {index, "GPU", {}, "CUDA device " + std::to_string(index) + " failed to start: lost (X)."};
}

DeviceEstimate estimate_of(const MergeWork& work, std::optional<double> disk) {
  return {work, kHost, disk ? std::optional(*disk * kGiga) : std::nullopt};
}

TEST_CASE("a device that is faster is chosen, and what bounds it is said") {
  const DeviceEstimate estimate = estimate_of(work_of(), 7);
  CHECK(!estimate.why_no_device());
  struct Case {
    MeasuredDevice device;
    const char* reason;
  };
  for (const Case& c :
       {Case{device(6, 100),
             "GPU: 6.0 GB/s with it (what its link carries), 2.0 GB/s on the CPU, disk 7.0 GB/s"},
        Case{device(25, 5), "GPU: 5.0 GB/s with it (what it computes), 2.0 GB/s on the CPU, disk 7.0 GB/s"},
        Case{device(25, 100),
             "GPU: 10.0 GB/s with it (what the CPU hashes), 2.0 GB/s on the CPU, disk 7.0 GB/s"}}) {
    const DeviceChoice choice = estimate.choose({c.device});
    CHECK(choice.devices == std::vector<size_t>{0});
    CHECK(choice.reason == c.reason);
  }
}

TEST_CASE("a device that computes or is reached slowly loses") {
  const DeviceEstimate estimate = estimate_of(work_of(), 7);
  for (const MeasuredDevice& slow : {device(25, 0.3), device(0.3, 100)}) {
    const DeviceChoice choice = estimate.choose({slow});
    CHECK(choice.devices.empty());
    CHECK(choice.reason.find("GPU: 300 MB/s with it") == 0);
    CHECK(choice.reason.find("2.0 GB/s on the CPU, disk 7.0 GB/s") != std::string::npos);
  }
  // 49.5 s where the CPU takes 50, and a second to start.
  const DeviceChoice close = estimate.choose({device(2.02, 100)});
  CHECK(close.devices.empty());
  CHECK(close.reason.find("; too little gained for the time to start") != std::string::npos);
  CHECK(estimate.choose({device(2.1, 100)}).devices.size() == 1);
}

TEST_CASE("the way back counts where it is the slower") {
  MeasuredDevice slow = device(25, 100);
  slow.rates.from_device = 0.5 * kGiga;
  CHECK(estimate_of(work_of(), {}).choose({slow}).devices.empty());
  slow.rates.from_device = 2 * kGiga;
  CHECK(estimate_of(work_of(), {}).choose({slow}).reason.find("GPU: 4.0 GB/s with it (what its link") == 0);
}

TEST_CASE("rates of devices add up, as far as the CPU hashes") {
  const DeviceEstimate estimate = estimate_of(work_of(0), {});
  // Alone each is slower than the CPU.
  const std::vector<MeasuredDevice> slow{device(1.5, 100, 1), device(25, 1.5, 3)};
  CHECK(estimate.choose({slow[0]}).devices.empty());
  const DeviceChoice both = estimate.choose(slow);
  CHECK(both.devices == std::vector<size_t>{1, 3});
  CHECK(both.reason.find("2 × GPU: 3.0 GB/s with them (what ") == 0);
  CHECK(both.reason.find(", 2.0 GB/s on the CPU, the models in memory") != std::string::npos);
  const DeviceChoice fast = estimate.choose({device(8, 100), device(8, 100, 1, "other")});
  CHECK(fast.reason.find("2 devices: 10.0 GB/s with them (what the CPU hashes)") == 0);
}

TEST_CASE("where the disk bounds both, the CPU") {
  CHECK(estimate_of(work_of(), 2).why_no_device() ==
        "devices would wait for the disk, too: 2.0 GB/s on the CPU, disk 2.0 GB/s");
  CHECK(estimate_of(work_of(), 0.1).why_no_device() ==
        "devices would wait for the disk, too: 2.0 GB/s on the CPU, disk 100 MB/s");
  // 49.5 s of 50
  CHECK(estimate_of(work_of(), 2.02).why_no_device() ==
        "no device could gain more than the time to start it: 2.0 GB/s on the CPU, disk 2.0 GB/s");
  CHECK(!estimate_of(work_of(), 2.1).why_no_device());
  // A device gains what the disk leaves: 45 s of 50, or 49.5.
  CHECK(estimate_of(work_of(), 2.22).choose({device(6, 100)}).devices.size() == 1);
  CHECK(estimate_of(work_of(), 2.02).choose({device(6, 100)}).devices.empty());
}

TEST_CASE("what is in the page cache does not wait for the disk") {
  const DeviceEstimate half = estimate_of(work_of(0.5), 1.5);
  CHECK(!half.why_no_device());
  const DeviceChoice choice = half.choose({device(6, 100)});
  CHECK(choice.devices.size() == 1);
  CHECK(choice.reason.find("disk 1.5 GB/s for 50 % of the models") != std::string::npos);
  CHECK(estimate_of(work_of(0.5), 0.9).why_no_device() ==
        "devices would wait for the disk, too: 2.0 GB/s on the CPU, disk 900 MB/s for 50 % of the models");
  CHECK(!estimate_of(work_of(0), {}).why_no_device());
}

TEST_CASE("what is soon done is the CPU's; so is what it does but hash") {
  const MergeWork small{1'900'000'000, 0, 1'900'000'000, 1'900'000'000, 950'000'000};
  CHECK(estimate_of(small, {}).why_no_device() == "it takes less time than starting a device");
  MergeWork little_fused = work_of(0);
  little_fused.fused = 2'000'000'000;
  CHECK(estimate_of(little_fused, {}).why_no_device() ==
        "no device could gain more than the time to start it: 9.3 GB/s on the CPU, the models in memory");
}

TEST_CASE("a sequence of fusions costs the CPU and the kernels several times what is read") {
  MergeWork sequence = work_of();
  sequence.fused *= 4;
  const DeviceChoice choice = estimate_of(sequence, 7).choose({device(25, 8)});
  CHECK(choice.reason == "GPU: 2.0 GB/s with it (what it computes), 588 MB/s on the CPU, disk 7.0 GB/s");
  CHECK(choice.devices.size() == 1);
}

TEST_CASE("devices that failed when they were measured are left out, and without others it is the CPU") {
  const DeviceEstimate estimate = estimate_of(work_of(), 7);
  const DeviceChoice rest = estimate.choose({failing(0), device(6, 100, 1)});
  CHECK(rest.devices == std::vector<size_t>{1});
  CHECK(rest.reason.find("GPU: 6.0 GB/s with it") == 0);
  CHECK(rest.reason.ends_with("disk 7.0 GB/s; left out: CUDA device 0 failed to start: lost (X)"));
  const DeviceChoice none = estimate.choose({failing(0), failing(1)});
  CHECK(none.devices.empty());
  CHECK(none.reason == "CUDA device 0 failed to start: lost (X); CUDA device 1 failed to start: lost (X)");
}

}  // namespace
}  // namespace branchmerge
