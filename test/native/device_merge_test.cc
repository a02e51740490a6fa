// Whole merges of small files on emulated devices: one or several, with more or less memory, failing or not,
// the files and figures are the CPU's.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "device.h"
#include "error_code.h"
#include "io/output_writer.h"
#include "merge/merge_checkpoints.h"
#include "temporary_directory.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

using cuda_emulation::Machine;

struct TensorOf {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
};

/// Several blocks of the output, tensors smaller than a piece of the hash, one that no device takes, none.
using Tensors = std::vector<TensorOf>;
const Tensors kTensors{{"wide", DType::F32, {3, 30'011}},
                       {"embedding", DType::BF16, {601, 517}},
                       {"norm", DType::BF16, {517}},
                       {"half", DType::F16, {77, 513}},
                       {"columns", DType::BF16, {1'000, 1}},
                       {"positions", DType::I64, {40}},
                       {"projection", DType::BF16, {130, 901}},
                       {"empty", DType::BF16, {0, 5}},
                       {"scalar", DType::F32, {}}};

uint64_t bytes_of(const TensorOf& tensor) {
  uint64_t bytes = dtype_bits(tensor.dtype) / 8;
  for (const uint64_t size : tensor.shape) bytes *= size;
  return bytes;
}

/// Few and small, for many runs.
const Tensors kFewTensors{{"wide", DType::F32, {2, 8'200}},
                          {"embedding", DType::BF16, {131, 517}},
                          {"norm", DType::BF16, {517}},
                          {"projection", DType::BF16, {64, 901}}};

uint64_t bytes_of_all(const Tensors& tensors = kTensors) {
  uint64_t bytes = 0;
  for (const TensorOf& tensor : tensors) bytes += bytes_of(tensor);
  return bytes;
}

/// Drops a file from the page cache, so that it is read ahead.
void drop_from_cache(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY);
  fsync(descriptor);
  posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  close(descriptor);
}

/// Models around one base.
class Models {
 public:
  static constexpr size_t kCount = 3;
  explicit Models(Tensors tensors = kTensors, double poison = 0) : tensors_(std::move(tensors)) {
    for (size_t model = 0; model < kCount; model++) write(model, model == 1 ? poison : 0);
  }

  const TemporaryDirectory& directory() const { return directory_; }

  /// Every tensor by one program, into one file.
  MergePlan plan(const std::string& output, const std::vector<Step>& program) const {
    for (const InputFiles::Input& input : inputs_) drop_from_cache(input.path);
    MergePlan plan;
    plan.inputs = inputs_;
    plan.outputs.push_back({directory_.file(output), {{"format", "pt"}}});
    plan.programs.push_back(program);
    uint64_t at = inputs_[0].bytes - bytes_of_all(tensors_);
    for (const TensorOf& tensor : tensors_) {
      const uint64_t end = at + bytes_of(tensor);
      plan.tensors.push_back({tensor.name,
                              tensor.dtype,
                              tensor.dtype,
                              tensor.shape,
                              {{0, at, end}, {1, at, end}, {2, at, end}},
                              0,
                              0});
      at = end;
    }
    plan.memory = uint64_t(1) << 40;
    plan.threads = 3;
    plan.instruction_set = &cpu::best_instruction_set();
    return plan;
  }

 private:
  void write(size_t model, double poison) {
    std::vector<TensorLayout> layouts;
    for (const TensorOf& tensor : tensors_)
      layouts.push_back({tensor.name, tensor.dtype, tensor.shape, bytes_of(tensor)});
    std::string bytes = serialize_header(layouts, {}, 8);
    std::mt19937_64 base(1), own(model + 2);
    std::normal_distribution<double> normal;
    for (const TensorOf& tensor : tensors_) {
      if (!dtype_is_float(tensor.dtype)) {
        bytes.append(bytes_of(tensor), '\1');
        continue;
      }
      const size_t size = dtype_bits(tensor.dtype) / 8;
      for (uint64_t i = 0; i < bytes_of(tensor) / size; i++) {
        double value = 0.02 * normal(base) + (own() % 3 ? 5e-4 * normal(own) : 0);
        if (poison != 0 && tensor.name == "projection" && i == 1'234) value = poison;
        char element[8];
        (void)round_to_dtype(&value, tensor.dtype, reinterpret_cast<std::byte*>(element), 1);
        bytes.append(element, size);
      }
    }
    inputs_.push_back({directory_.write("model" + std::to_string(model), bytes), bytes.size()});
  }

  const Tensors tensors_;
  TemporaryDirectory directory_;
  std::vector<InputFiles::Input> inputs_;
};

using Kind = Operand::Kind;
Step fuse(Operand left, Operand right, FusionOptions options = {}) {
  return {"fuse", {left, right}, options, {}};
}

/// a & b
std::vector<Step> one_fusion() { return {fuse({Kind::kModel, 0}, {Kind::kModel, 1})}; }
/// (a & b) & c
std::vector<Step> sequence() {
  return {fuse({Kind::kModel, 0}, {Kind::kModel, 1}), fuse({Kind::kStep, 0}, {Kind::kModel, 2})};
}
/// (a & b) & (c & a), all of different kinds
std::vector<Step> tree() {
  FusionOptions soft, whole, changed;
  soft.gate = Gate::kSoft;
  soft.lambda = 0;
  whole.scope = Scope::kTensor;
  whole.score = Score::kSigned;
  whole.gate = Gate::kGreater;
  whole.quantile = Quantile::kLinear;
  changed.population = Population::kChanged;
  changed.divergence = Divergence::kLeftRight;
  return {fuse({Kind::kModel, 0}, {Kind::kModel, 1}, soft), fuse({Kind::kModel, 2}, {Kind::kModel, 0}, whole),
          fuse({Kind::kStep, 0}, {Kind::kStep, 1}, changed)};
}

struct Outcome {
  std::string bytes;
  std::vector<std::string> tensors;  // all that is told of each, as text
  MergeTotals totals;
};

std::string text_of(const MergePlan::Tensor& tensor, const MergedTensor& merged) {
  std::string text = tensor.name + " " + merged.hash + " " + std::to_string(merged.output_end);
  for (const std::string& hash : merged.model_hashes) text += " " + hash;
  char figures[256];
  for (const StepStats& step : merged.steps) {
    const TensorStats& s = step.tensor;
    std::snprintf(figures, sizeof figures, " [%lu %d %d %d %a %a %a %a %a %a %a]", step.kept, s.identical,
                  s.degenerate, int(s.kept_operand.value_or(9)), s.threshold, s.q1, s.median, s.q3, s.kl_min,
                  s.kl_median, s.kl_max);
    text += figures;
  }
  return text;
}

Outcome run(const MergePlan& plan) {
  Outcome outcome;
  MergeCallbacks callbacks;
  callbacks.on_tensor = [&](const MergePlan::Tensor& tensor, const MergedTensor& merged) {
    outcome.tensors.push_back(text_of(tensor, merged));
  };
  MergeProgress last{};
  std::mutex mutex;
  callbacks.on_progress = [&](const MergeProgress& progress) {
    std::lock_guard lock(mutex);
    last = progress;
  };
  const std::atomic<bool> cancelled{false};
  outcome.totals = merge_checkpoints(plan, callbacks, cancelled);
  CHECK(last.bytes_done == last.bytes_total);
  CHECK(last.tensors_done == last.tensors_total);
  std::ifstream file(plan.outputs[0].path, std::ios::binary);
  outcome.bytes = {std::istreambuf_iterator<char>(file), {}};
  return outcome;
}

MergePlan on_devices(MergePlan plan, size_t devices, bool continue_on_cpu = false) {
  for (size_t i = 0; i < devices; i++) plan.devices.push_back(i);
  plan.continue_on_cpu = continue_on_cpu;
  return plan;
}

void check_same(const Outcome& outcome, const Outcome& expected) {
  const bool same = outcome.bytes == expected.bytes;
  CHECK(same);
  CHECK(outcome.tensors == expected.tensors);
}

uint64_t bytes_on_devices(const Outcome& outcome) {
  uint64_t bytes = 0;
  for (const DeviceShare& share : outcome.totals.devices) bytes += share.bytes;
  return bytes;
}

/// Nothing stays allocated on devices, or pinned.
void check_given_back() {
  CHECK(cuda_emulation::device_bytes_in_use() == 0);
  CHECK(cuda_emulation::pinned_bytes_in_use() == 0);
}

Machine machine(int devices, size_t memory_bytes) {
  Machine machine;
  machine.devices = devices;
  machine.memory_bytes = memory_bytes;
  return machine;
}

constexpr size_t kRoomy = size_t(1) << 28;

TEST_CASE("devices give the CPU's files, figures and hashes") {
  const Models models;
  int files = 0;
  for (const std::vector<Step>& program : {one_fusion(), tree()})
    for (const bool float_intermediates : {false, true}) {
      const auto plan = [&](const std::string& kind) {
        MergePlan made = models.plan(kind + std::to_string(++files), program);
        for (MergePlan::Tensor& tensor : made.tensors) tensor.float_intermediates = float_intermediates;
        return made;
      };
      const Outcome expected = run(plan("cpu"));
      for (const size_t devices : {1, 2}) {
        if (float_intermediates && program.size() == 1) continue;  // there are none
        cuda_emulation::reset(machine(int(devices), kRoomy));
        const Outcome outcome = run(on_devices(plan("devices"), devices));
        check_same(outcome, expected);
        CHECK(cuda_emulation::launches() > 0);
        CHECK(outcome.totals.warnings.empty());
        check_given_back();
      }
    }
}

TEST_CASE("other dtypes of the inputs and of the output, and inputs in the page cache") {
  const Models models;
  const auto plan = [&](const std::string& name, DType output) {
    MergePlan made = models.plan(name + std::to_string(int(output)), sequence());
    for (MergePlan::Tensor& tensor : made.tensors) {
      if (!dtype_is_float(tensor.dtype)) continue;
      tensor.stored.assign(3, tensor.dtype);
      // A tensor of float32 is read as bfloat16.
      if (tensor.dtype == DType::F32) tensor.dtype = DType::BF16;
      tensor.output_dtype = output;
      tensor.float_intermediates = true;
    }
    std::stable_sort(made.tensors.begin(), made.tensors.end(), [](const auto& a, const auto& b) {
      return dtype_bits(a.output_dtype) > dtype_bits(b.output_dtype);
    });
    return made;
  };
  for (const DType output : {DType::BF16, DType::F32, DType::F64}) {
    const Outcome expected = run(plan("cpu", output));  // which leaves the inputs in the page cache
    cuda_emulation::reset(machine(1, kRoomy));
    const MergePlan made = plan("device", output);
    for (const InputFiles::Input& input : made.inputs) std::ifstream(input.path).ignore(1 << 30);
    check_same(run(on_devices(made, 1)), expected);
    check_given_back();
  }
}

TEST_CASE("a value that does not fit the output's dtype is the same error as on the CPU") {
  const Models models(kFewTensors, 70000);
  const auto message = [&](const std::string& name, size_t devices, std::optional<NonFinite> keep) {
    FusionOptions options;
    if (keep) options.non_finite = *keep;
    MergePlan plan = models.plan(name, {fuse({Kind::kModel, 1}, {Kind::kModel, 1}, options)});
    for (MergePlan::Tensor& tensor : plan.tensors) tensor.output_dtype = DType::F16;
    cuda_emulation::reset(machine(1, kRoomy));
    return error_message([&] { run(on_devices(plan, devices)); });
  };
  const std::string expected = message("cpu", 0, std::nullopt);
  CHECK(expected.find("'projection'") != std::string::npos);
  CHECK(expected.find("1234 is 70144, which does not fit F16 (at most 65504)") != std::string::npos);
  CHECK(message("device", 1, std::nullopt) == expected);
  CHECK(message("kept", 1, NonFinite::kLeft) == expected);
  check_given_back();
}

TEST_CASE("a tensor that does not fit into a device goes through it in slices") {
  const Models models;
  int files = 0;
  for (const std::vector<Step>& program : {one_fusion(), tree()}) {
    const Outcome expected = run(models.plan("cpu" + std::to_string(++files), program));
    // The largest tensor takes 1.8 MB of operands and results at least.
    for (const size_t memory : {size_t(900) << 10, size_t(1'500) << 10}) {
      cuda_emulation::reset(machine(1, memory));
      check_same(run(on_devices(models.plan("device" + std::to_string(++files), program), 1)), expected);
      check_given_back();
    }
  }
}

TEST_CASE("a tensor too large for the memory of the host is read for every pass over it") {
  const Models models;
  const Outcome expected = run(models.plan("cpu", sequence()));
  cuda_emulation::reset(machine(1, size_t(1) << 20));
  MergePlan plan = models.plan("device", sequence());
  plan.memory = 100'000;
  check_same(run(on_devices(plan, 1)), expected);
}

TEST_CASE("a device without room even for slices") {
  const Models models;
  const Outcome expected = run(models.plan("cpu", sequence()));
  cuda_emulation::reset(machine(1, 100 << 10));
  CHECK(error_code([&] { run(on_devices(models.plan("refused", sequence()), 1)); }) == "ERR_DEVICE_MEMORY");
  const Outcome outcome = run(on_devices(models.plan("continued", sequence()), 1, true));
  check_same(outcome, expected);
  CHECK(outcome.totals.warnings.size() == 1);
  CHECK(outcome.totals.devices.empty());
}

TEST_CASE("devices share the tensors, and tell what they did") {
  const Models models;
  cuda_emulation::reset(machine(2, kRoomy));
  const Outcome outcome = run(on_devices(models.plan("devices", sequence()), 2));
  REQUIRE(outcome.totals.devices.size() == 2);
  CHECK(outcome.totals.devices[0].bytes > 0);
  CHECK(outcome.totals.devices[1].bytes > 0);
  const uint64_t not_for_devices = bytes_of(kTensors[5]);
  CHECK(bytes_on_devices(outcome) == 3 * (bytes_of_all() - not_for_devices));
}

TEST_CASE("outputs that share a read share its bytes on the device") {
  const Models models;
  const auto sweep = [&](const std::string& name) {
    MergePlan plan = models.plan(name + "0", sequence());
    const std::vector<MergePlan::Tensor> tensors = std::exchange(plan.tensors, {});
    plan.outputs.push_back({models.directory().file(name + "1"), {}});
    plan.programs.push_back(sequence());
    plan.programs[1][1].fusion.lambda = 0.5;
    for (const MergePlan::Tensor& tensor : tensors)
      for (size_t output = 0; output < 2; output++) {
        plan.tensors.push_back(tensor);
        plan.tensors.back().output = plan.tensors.back().program = output;
      }
    return plan;
  };
  const Outcome expected = run(sweep("cpu"));
  cuda_emulation::reset(machine(2, kRoomy));
  check_same(run(on_devices(sweep("devices"), 2)), expected);
  const auto contents = [&](const std::string& name) {
    std::ifstream file(models.directory().file(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  CHECK(contents("cpu1").size() == expected.bytes.size() - 4096 + 4096);
  const bool same = contents("cpu1") == contents("devices1");
  CHECK(same);
}

TEST_CASE("a program with another method, and rows of one model alone, are the CPU's") {
  const Models models;
  const auto plan = [&](const std::string& name) {
    MergePlan made = models.plan(name, one_fusion());
    made.programs.push_back(
        {{"linear", {{Kind::kModel, 0}, {Kind::kModel, 1}}, {}, {{"weight", {0.5, 0.5}}, {"normalize", {1}}}},
         fuse({Kind::kStep, 0}, {Kind::kModel, 2})});
    made.tensors[1].program = 1;
    made.tensors[6].shape[0] -= 30;
    for (size_t model = 1; model < 3; model++) made.tensors[6].models[model].end -= uint64_t(30) * 901 * 2;
    made.tensors[6].tail = {0, 30};
    return made;
  };
  const Outcome expected = run(plan("cpu"));
  cuda_emulation::reset(machine(1, kRoomy));
  const Outcome outcome = run(on_devices(plan("devices"), 1));
  check_same(outcome, expected);
  CHECK(bytes_on_devices(outcome) > 0);
  CHECK(bytes_on_devices(outcome) < 3 * (bytes_of_all() - bytes_of(kTensors[1]) - bytes_of(kTensors[6])));
}

TEST_CASE("a run that was cut off goes on on a device") {
  const Models models;
  const Outcome whole = run(models.plan("whole", sequence()));
  const uint64_t written = kWriteBlock;
  REQUIRE(whole.bytes.size() > written);
  MergePlan plan = models.plan("cut", sequence());
  plan.outputs[0].written = written;
  models.directory().write("cut", whole.bytes.substr(0, written) + "garbage");
  cuda_emulation::reset(machine(1, size_t(1) << 20));
  check_same(run(on_devices(plan, 1)), whole);
}

TEST_CASE("NaN is reported as the CPU does, and a side can be kept") {
  const Models models(kTensors, std::numeric_limits<double>::quiet_NaN());
  cuda_emulation::reset(machine(1, kRoomy));
  const auto message = [&](const MergePlan& plan) { return error_message([&] { run(plan); }); };
  const std::string expected = message(models.plan("cpu", sequence()));
  CHECK(expected.find("element 1234") != std::string::npos);
  CHECK(message(on_devices(models.plan("device", sequence()), 1)) == expected);
  check_given_back();

  std::vector<Step> keep = sequence();
  for (Step& step : keep) step.fusion.non_finite = NonFinite::kRight;
  const Outcome kept = run(models.plan("kept", keep));
  check_same(run(on_devices(models.plan("kept on a device", keep), 1)), kept);
}

/// The n-th kernel, allocation, … fails, for ever larger n until none does: an error, or the CPU's files.
template <class Fail>
void fail_everywhere(const Fail& fail, const char* code) {
  const Models models(kFewTensors);
  const Outcome expected = run(models.plan("cpu", sequence()));
  int failures = 0;
  for (uint64_t n = 1;; n += 1 + n * 2 / 3) {
    REQUIRE(n < 50'000);
    const std::string name = std::to_string(n);
    cuda_emulation::reset(machine(1, kRoomy));
    fail(n);
    const std::string thrown =
        error_code([&] { run(on_devices(models.plan("failed" + name, sequence()), 1)); });
    if (thrown.empty()) break;
    CHECK(thrown == code);
    failures++;

    const size_t devices = 1 + n % 2;
    cuda_emulation::reset(machine(int(devices), kRoomy));
    fail(n);
    const Outcome outcome = run(on_devices(models.plan("continued" + name, sequence()), devices, true));
    check_same(outcome, expected);
    // Two devices may do with fewer calls each.
    if (devices == 1) CHECK(outcome.totals.warnings.size() == 1);
  }
  CHECK(failures > 2);
}

TEST_CASE("a device that is lost at any kernel: an error, or the CPU goes on") {
  fail_everywhere([](uint64_t n) { cuda_emulation::fail_launch(n, cudaErrorECCUncorrectable); },
                  "ERR_DEVICE_FAILED");
}
TEST_CASE("a device that is lost at any call: an error, or the CPU goes on") {
  fail_everywhere([](uint64_t n) { cuda_emulation::fail_call(n, cudaErrorLaunchFailure); },
                  "ERR_DEVICE_FAILED");
}
TEST_CASE("an allocation on a device that fails: an error, or the CPU goes on") {
  fail_everywhere([](uint64_t n) { cuda_emulation::fail_device_allocation(n); }, "ERR_DEVICE_MEMORY");
}
TEST_CASE("pinned memory that cannot be had: an error, or the CPU goes on") {
  fail_everywhere([](uint64_t n) { cuda_emulation::fail_pinned_allocation(n); }, "ERR_DEVICE_MEMORY");
}

TEST_CASE("one of two devices is lost: the other goes on") {
  const Models models;
  const Outcome expected = run(models.plan("cpu", sequence()));
  cuda_emulation::reset(machine(2, kRoomy));
  cuda_emulation::fail_launch(1, cudaErrorECCUncorrectable);
  const Outcome outcome = run(on_devices(models.plan("devices", sequence()), 2, true));
  check_same(outcome, expected);
  CHECK(outcome.totals.warnings.size() == 1);
  CHECK(bytes_on_devices(outcome) > 0);
}

TEST_CASE("one of two devices does not even start: the other does it all, with pinned memory of its own") {
  const Models models;
  const Outcome expected = run(models.plan("cpu", sequence()));
  for (const int lost : {0, 1}) {
    cuda_emulation::reset(machine(2, kRoomy));
    cuda_emulation::lose_device(lost, cudaErrorECCUncorrectable);
    const Outcome outcome = run(on_devices(models.plan("lost" + std::to_string(lost), sequence()), 2, true));
    check_same(outcome, expected);
    CHECK(outcome.totals.warnings.size() == 1);
    CHECK(bytes_on_devices(outcome) > 0);
    check_given_back();
  }
}

TEST_CASE("a merge on devices can be cancelled") {
  const Models models;
  cuda_emulation::reset(machine(2, kRoomy));
  const MergePlan plan = on_devices(models.plan("cancelled", sequence()), 2);
  std::atomic<bool> cancelled{false};
  MergeCallbacks callbacks;
  // With the first bytes: when the first tensor is told of, the devices may be done with all of them.
  callbacks.on_progress = [&](const MergeProgress&) { cancelled = true; };
  CHECK(error_code([&] { merge_checkpoints(plan, callbacks, cancelled); }) == "ERR_CANCELLED");
  check_given_back();
}

TEST_CASE("a file that was cut while it is read ends the merge") {
  const Models models;
  cuda_emulation::reset(machine(1, kRoomy));
  const MergePlan plan = on_devices(models.plan("cut", sequence()), 1);
  MergeCallbacks callbacks;
  callbacks.on_tensor = [&](const MergePlan::Tensor&, const MergedTensor&) {
    CHECK(truncate(plan.inputs[1].path.c_str(), 5'000) == 0);
  };
  const std::atomic<bool> cancelled{false};
  CHECK(error_code([&] { merge_checkpoints(plan, callbacks, cancelled); }) == "ERR_FILE_CHANGED");
}

}  // namespace
}  // namespace branchmerge
