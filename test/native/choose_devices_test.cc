// Which devices are found, measured and chosen, and why not, on emulated machines; and how tensors are handed
// to them.
#include "merge/devices/choose_devices.h"

#include <doctest/doctest.h>

#include <atomic>
#include <set>

#include "cuda/devices.h"
#include "device.h"
#include "error_code.h"
#include "merge/devices/device_queue.h"
#include "merge/devices/measure_device.h"
#include "temporary_directory.h"

namespace branchmerge {
namespace {

using cuda_emulation::Machine;
using Kind = DeviceRequest::Kind;

void reset_with(cudaError_t unavailable) {
  Machine machine;
  machine.unavailable = unavailable;
  cuda_emulation::reset(machine);
}

void reset_with(int devices) {
  Machine machine;
  machine.devices = devices;
  cuda_emulation::reset(machine);
}

/// Merges of two models of which nothing is written: files of holes.
class Holes {
 public:
  /// One fusion of so many elements.
  MergePlan plan(uint64_t elements, DType dtype = DType::BF16) const {
    MergePlan plan;
    const uint64_t bytes = elements * dtype_bits(dtype) / 8;
    for (const char* name : {"left", "right"}) {
      std::filesystem::resize_file(directory_.write(name, ""), bytes);
      plan.inputs.push_back({directory_.file(name), bytes});
    }
    plan.programs.push_back({{"fuse", {{Operand::Kind::kModel, 0}, {Operand::Kind::kModel, 1}}, {}, {}}});
    plan.tensors.push_back(
        {"w", dtype, dtype, {elements / 1024, 1024}, {{0, 0, bytes}, {1, 0, bytes}}, 0, 0});
    plan.memory = 0;
    plan.threads = 1;
    plan.instruction_set = &cpu::best_instruction_set();
    return plan;
  }

 private:
  TemporaryDirectory directory_;
};

constexpr uint64_t kSmall = 1 << 20, kLarge = uint64_t(1) << 34;

TEST_CASE("a machine without a device says why") {
  reset_with(cudaErrorInsufficientDriver);
  CHECK(cuda::find_devices(true).unavailable.find("no NVIDIA driver") == 0);
  reset_with(cudaErrorNoDevice);
  CHECK(cuda::find_devices(true).unavailable.find("CUDA_VISIBLE_DEVICES") != std::string::npos);
  reset_with(cudaErrorSystemNotReady);
  const cuda::Devices broken = cuda::find_devices(true);
  CHECK(broken.compiled);
  CHECK(broken.found.empty());
  CHECK(broken.unavailable.find("the NVIDIA driver answers") == 0);
}

TEST_CASE("devices are described, with their memory when it is asked for") {
  reset_with(2);
  const cuda::Devices devices = cuda::find_devices(true);
  CHECK(devices.unavailable.empty());
  REQUIRE(devices.found.size() == 2);
  CHECK(devices.found[1].index == 1);
  CHECK(devices.found[1].name == "Emulated device 1");
  CHECK(devices.found[1].free_bytes == Machine().memory_bytes);
  CHECK(devices.found[1].unusable.empty());
  CHECK(devices.driver == "13.0");
  CHECK(cuda::find_devices(false).found[0].free_bytes == 0);
}

TEST_CASE("a device that fails when it is looked at cannot be used, and others can") {
  reset_with(1);
  cuda_emulation::fail_call(1, cudaErrorECCUncorrectable);
  const cuda::Devices devices = cuda::find_devices(true);
  CHECK(devices.found[0].unusable.find("ECC") != std::string::npos);
  CHECK(devices.unavailable.find("Emulated device 0") == 0);
}

TEST_CASE("devices that are asked for are used or refused") {
  reset_with(3);
  const Holes holes;
  const MergePlan plan = holes.plan(kSmall);
  CHECK(choose_devices({Kind::kCuda}, plan).devices == std::vector<size_t>{0, 1, 2});
  CHECK(choose_devices({Kind::kCuda, {2, 0}}, plan).devices == std::vector<size_t>{2, 0});
  CHECK(choose_devices({Kind::kCpu}, plan).devices.empty());
  CHECK(error_message([&] {
          choose_devices({Kind::kCuda, {0, 3}}, plan);
        }).find("cuda:0,3") != std::string::npos);
  reset_with(cudaErrorInsufficientDriver);
  CHECK(error_code([&] { choose_devices({Kind::kCuda}, plan); }) == "ERR_DEVICE_UNAVAILABLE");
}

TEST_CASE("auto: the CPU for what is soon done, without devices, and for what devices do not compute") {
  const Holes holes;
  reset_with(1);
  const DeviceChoice small = choose_devices({Kind::kAuto}, holes.plan(kSmall));
  CHECK(small.devices.empty());
  CHECK(small.reason.find("less time") != std::string::npos);
  MergePlan other = holes.plan(kSmall);
  other.programs[0][0].method = "linear";
  CHECK(choose_devices({Kind::kAuto}, other).reason == "nothing of this merge is computed on devices");
  MergePlan done = holes.plan(kSmall);
  done.tensors[0].done = true;
  CHECK(choose_devices({Kind::kAuto}, done).reason == "nothing of this merge is computed on devices");
  CHECK(cuda_emulation::launches() == 0);
  reset_with(cudaErrorInsufficientDriver);
  CHECK(choose_devices({Kind::kAuto}, holes.plan(kSmall)).reason.find("no NVIDIA driver") == 0);
}

TEST_CASE("auto measures what is large, and the emulated devices are slower than the CPU") {
  const Holes holes;
  for (const int devices : {1, 2}) {
    reset_with(devices);
    const DeviceChoice choice = choose_devices({Kind::kAuto}, holes.plan(kLarge));
    CHECK(choice.devices.empty());
    INFO(choice.reason);
    CHECK(choice.reason.find(devices == 1 ? "Emulated device 0: " : "2 devices: ") == 0);
    CHECK(choice.reason.find(devices == 1 ? "with it (what it computes)" : "with them (what they compute)") !=
          std::string::npos);
    CHECK(choice.reason.find("B/s on the CPU") != std::string::npos);
    CHECK(cuda_emulation::launches() > 0);
    CHECK(cuda_emulation::device_bytes_in_use() == 0);
    CHECK(cuda_emulation::pinned_bytes_in_use() == 0);
  }
}

TEST_CASE("auto: a device that fails when it is measured is left out") {
  const Holes holes;
  reset_with(1);
  cuda_emulation::fail_call(5, cudaErrorLaunchFailure);
  const DeviceChoice alone = choose_devices({Kind::kAuto}, holes.plan(kLarge));
  CHECK(alone.devices.empty());
  CHECK(alone.reason.find("CUDA device 0 failed to ") == 0);
  CHECK(alone.reason.find("unspecified launch failure") != std::string::npos);
  reset_with(2);
  cuda_emulation::fail_call(9, cudaErrorECCUncorrectable);
  const DeviceChoice one_of_two = choose_devices({Kind::kAuto}, holes.plan(kLarge));
  CHECK(one_of_two.reason.find("Emulated device ") == 0);
  CHECK(one_of_two.reason.find("; left out: CUDA device ") != std::string::npos);
}

TEST_CASE("a device that cannot be started is named") {
  reset_with(2);
  const FusionSample sample({DType::BF16, DType::BF16}, 32);
  CHECK(error_message([&] { measure_device(2, sample); }).find("CUDA device 2 failed to start: ") == 0);
}

TEST_CASE("a device is measured in every dtype") {
  reset_with(1);
  FusionOptions soft;
  soft.gate = Gate::kSoft;
  for (const FusionKind& kind :
       {FusionKind{DType::F16, DType::F16}, FusionKind{DType::F32, DType::BF16},
        FusionKind{DType::F64, DType::F64}, FusionKind{DType::BF16, DType::BF16, soft}}) {
    const DeviceRates rates = measure_device(0, FusionSample(kind, 32));
    CHECK(rates.fuse > 0);
    CHECK(rates.to_device > rates.fuse);
    CHECK(rates.from_device > rates.fuse);
  }
}

/// Whether measuring goes well where `fail` makes something fail.
template <class Fail>
bool measures(const FusionSample& sample, const Fail& fail) {
  reset_with(1);
  fail();
  const std::string code = error_code([&] { measure_device(0, sample); });
  const bool failed = cuda::is_device_failure(code);
  CHECK(failed == !code.empty());
  CHECK(cuda_emulation::device_bytes_in_use() == 0);
  CHECK(cuda_emulation::pinned_bytes_in_use() == 0);
  return !failed;
}

TEST_CASE("every call, launch and allocation may fail when a device is measured") {
  const FusionSample sample({DType::BF16, DType::BF16}, 32);
  uint64_t calls = 1, launches = 1, allocations = 1;
  const auto all = [&](uint64_t& n, const auto& fail) {
    while (!measures(sample, [&] { fail(n); })) n++;
  };
  all(calls, [](uint64_t n) { cuda_emulation::fail_call(n, cudaErrorECCUncorrectable); });
  all(launches, [](uint64_t n) { cuda_emulation::fail_launch(n, cudaErrorIllegalAddress); });
  all(allocations, [](uint64_t n) { cuda_emulation::fail_device_allocation(n); });
  // Two copies and a fusion at least, each more than once.
  CHECK(calls > 40);
  CHECK(launches > 4);
  CHECK(allocations > 4);
  CHECK(!measures(sample, [] { cuda_emulation::fail_pinned_allocation(1); }));
}

/// A lane that does nothing.
class IdleLane final : public DeviceLane {
 public:
  explicit IdleLane(size_t device) : device_(device) {}
  std::vector<StepStats> merge(const MergePlan::Tensor&, const std::vector<LeafTensor*>&,
                               TensorSink&) override {
    return {};
  }
  void forget_leaves() override {}
  size_t device() const override { return device_; }
  WorkerPool& pool() override { return pool_; }

 private:
  const size_t device_;
  WorkerPool pool_{1};
};

std::vector<std::unique_ptr<DeviceLane>> idle_lanes(const std::vector<size_t>& devices) {
  std::vector<std::unique_ptr<DeviceLane>> lanes;
  lanes.reserve(devices.size());
  for (const size_t device : devices) lanes.push_back(std::make_unique<IdleLane>(device));
  return lanes;
}

/// Blocks tasks until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

TEST_CASE("a tensor goes to the device with the fewest bytes under way") {
  DeviceQueue queue(idle_lanes({0, 0, 0, 1, 1, 1}), [] {});
  Gate gate;
  std::atomic<uint64_t> bytes[2]{};
  for (const uint64_t size : {100, 60, 30, 20}) {
    std::atomic<bool> began{false};
    queue.run(size, [&, size](DeviceLane& lane) {
      bytes[lane.device()] += size;
      began = true;
      gate.pass();
    });
    while (!began) std::this_thread::yield();
  }
  CHECK(bytes[0] == 100);
  CHECK(bytes[1] == 110);
  gate.open();
  queue.finish();
}

TEST_CASE("a device that was given up gets nothing more; without any the queue takes nothing") {
  DeviceQueue queue(idle_lanes({0, 1}), [] {});
  std::mutex mutex;
  std::set<size_t> used;
  queue.give_up(0);
  for (int i = 0; i < 20; i++)
    CHECK(queue.run(1, [&](DeviceLane& lane) {
      std::lock_guard lock(mutex);
      used.insert(lane.device());
    }));
  queue.finish();
  CHECK(used == std::set<size_t>{1});
  CHECK(queue.run(1, [&](DeviceLane& lane) { queue.give_up(lane.device()); }));
  queue.finish();
  CHECK(!queue.run(1, [](DeviceLane&) {}));
}

TEST_CASE("a task's failure is told once, and thrown by what comes after") {
  std::atomic<int> told{0};
  DeviceQueue queue(idle_lanes({0, 0}), [&] { told++; });
  CHECK(queue.run(1, [](DeviceLane&) { throw Error("ERR_FILE_CHANGED", "x"); }));
  CHECK(error_code([&] { queue.finish(); }) == "ERR_FILE_CHANGED");
  CHECK(error_code([&] { queue.run(1, [](DeviceLane&) {}); }) == "ERR_FILE_CHANGED");
  while (told == 0) std::this_thread::yield();
  CHECK(told == 1);
}

}  // namespace
}  // namespace branchmerge
