// Which devices are found and chosen, and why not, on emulated machines; and how tensors are handed to them.
#include "methods/choose_devices.h"

#include <doctest/doctest.h>

#include <atomic>
#include <set>

#include "cuda/devices.h"
#include "device.h"
#include "error_code.h"
#include "methods/device_queue.h"

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

/// Fusions of so many elements of bf16.
MergePlan plan_of(uint64_t elements) {
  MergePlan plan;
  plan.programs.push_back({{"fuse", {{Operand::Kind::kModel, 0}, {Operand::Kind::kModel, 1}}, {}, {}}});
  plan.tensors.push_back({"w", DType::BF16, DType::BF16, {elements / 1024, 1024}, {{}, {}}, 0, 0});
  plan.memory = 0;
  plan.threads = 1;
  plan.instruction_set = &cpu::best_instruction_set();
  return plan;
}

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
  const MergePlan plan = plan_of(1 << 20);
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
  reset_with(1);
  const DeviceChoice small = choose_devices({Kind::kAuto}, plan_of(1 << 20));
  CHECK(small.devices.empty());
  CHECK(small.reason.find("less time") != std::string::npos);
  MergePlan other = plan_of(1 << 20);
  other.programs[0][0].method = "linear";
  CHECK(choose_devices({Kind::kAuto}, other).reason == "nothing of this merge is computed on devices");
  reset_with(cudaErrorInsufficientDriver);
  CHECK(choose_devices({Kind::kAuto}, plan_of(1 << 20)).reason.find("no NVIDIA driver") == 0);
}

TEST_CASE("auto measures where there is much to do, and a device that fails then is not used") {
  reset_with(2);
  const MergePlan large = plan_of(uint64_t(1) << 40);
  CHECK(choose_devices({Kind::kAuto}, large).reason.find("measured ") == 0);
  cuda_emulation::fail_call(5, cudaErrorLaunchFailure);
  const DeviceChoice choice = choose_devices({Kind::kAuto}, large);
  CHECK(choice.devices.empty());
  CHECK(choice.reason.find("unspecified launch failure") != std::string::npos);
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
