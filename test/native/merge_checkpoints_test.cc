// Whole merges of small files: whatever the memory, the threads and where a run was cut off, the files are
// the same.
#include "merge/merge_checkpoints.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "error_code.h"
#include "io/output_writer.h"
#include "temporary_directory.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

const std::vector<std::pair<std::string, std::vector<uint64_t>>> kTensors{{"embedding", {1000, 700}},
                                                                          {"norm", {700}},
                                                                          {"projection", {600, 901}},
                                                                          {"empty", {0, 5}},
                                                                          {"scalar", {}}};

uint64_t elements_of(const std::vector<uint64_t>& shape) {
  uint64_t n = 1;
  for (const uint64_t size : shape) n *= size;
  return n;
}

/// A file of the tensors above in bf16, around one base.
std::string model_bytes(int seed) {
  std::vector<TensorLayout> layouts;
  layouts.reserve(kTensors.size());
  for (const auto& [name, shape] : kTensors)
    layouts.push_back({name, DType::BF16, shape, 2 * elements_of(shape)});
  std::string bytes = serialize_header(layouts, {}, 8);
  std::mt19937_64 base(1), own(uint64_t(seed) + 2);
  std::normal_distribution<double> weight(0, 0.02), change(0, 5e-4);  // each keeps every other draw to itself
  for (const auto& [name, shape] : kTensors)
    for (uint64_t i = 0; i < elements_of(shape); i++) {
      const double value = weight(base) + change(own);
      char element[2];
      (void)round_to_dtype(&value, DType::BF16, reinterpret_cast<std::byte*>(element), 1);
      bytes.append(element, 2);
    }
  return bytes;
}

/// Written; not in the page cache, so that it is read ahead.
InputFiles::Input write_model(const TemporaryDirectory& directory, int seed) {
  static const std::vector<std::string> models{model_bytes(0), model_bytes(1), model_bytes(2)};
  const std::string& bytes = models[size_t(seed)];
  const std::string path = directory.write("model" + std::to_string(seed), bytes);
  const int descriptor = open(path.c_str(), O_RDONLY);
  fsync(descriptor);
  posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  close(descriptor);
  return {path, bytes.size()};
}

/// ((0 & 1) & 2), all in one output file.
MergePlan make_plan(const TemporaryDirectory& directory, const std::string& output) {
  MergePlan plan;
  for (int seed = 0; seed < 3; seed++) plan.inputs.push_back(write_model(directory, seed));
  plan.outputs.push_back({directory.file(output), {{"format", "pt"}}});
  using Kind = Operand::Kind;
  plan.programs.push_back({{"fuse", {{Kind::kModel, 0}, {Kind::kModel, 1}}, {}, {}},
                           {"fuse", {{Kind::kStep, 0}, {Kind::kModel, 2}}, {}, {}}});
  uint64_t at = plan.inputs[0].bytes;
  for (const auto& [name, shape] : kTensors) at -= 2 * elements_of(shape);
  for (const auto& [name, shape] : kTensors) {
    const uint64_t end = at + 2 * elements_of(shape);
    plan.tensors.push_back(
        {name, DType::BF16, DType::BF16, shape, {{0, at, end}, {1, at, end}, {2, at, end}}, 0, 0});
    at = end;
  }
  plan.memory = uint64_t(1) << 40;
  plan.threads = 2;
  plan.instruction_set = &cpu::best_instruction_set();
  return plan;
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string run(const MergePlan& plan) {
  const std::atomic<bool> cancelled{false};
  merge_checkpoints(plan, {}, cancelled);
  return contents(plan.outputs[0].path);
}

TEST_CASE("tensors that do not fit into memory are read again in every pass, with the same result") {
  const TemporaryDirectory directory;
  const std::string expected = run(make_plan(directory, "roomy"));
  for (const uint64_t memory : {uint64_t(0), uint64_t(100'000), uint64_t(4'000'000)}) {
    MergePlan plan = make_plan(directory, "tight" + std::to_string(memory));
    plan.memory = memory;
    CHECK(run(plan) == expected);
  }
}

TEST_CASE("a sequence in one pass equals the merges one after the other through a file") {
  const TemporaryDirectory directory;
  const std::string expected = run(make_plan(directory, "sequence"));
  MergePlan first = make_plan(directory, "first");
  first.programs[0].pop_back();
  const std::string middle = run(first);

  MergePlan second = make_plan(directory, "second");
  second.inputs[0] = {directory.file("first"), middle.size()};
  second.programs[0].pop_back();
  second.programs[0][0].operands[1].index = 2;
  uint64_t at = middle.size();
  for (const auto& [name, shape] : kTensors) at -= 2 * elements_of(shape);
  for (MergePlan::Tensor& tensor : second.tensors) {
    tensor.models[0] = {0, at, at + tensor.models[0].size()};
    at = tensor.models[0].end;
  }
  CHECK(run(second) == expected);
}

TEST_CASE(
    "float32 between steps gives another result than rounding, and the same for any number of threads") {
  const TemporaryDirectory directory;
  const std::string rounded = run(make_plan(directory, "rounded"));
  std::string kept;
  for (const size_t threads : {1, 2, 7}) {
    MergePlan plan = make_plan(directory, "float" + std::to_string(threads));
    for (MergePlan::Tensor& tensor : plan.tensors) tensor.float_intermediates = true;
    plan.threads = threads;
    // A soft gate has results that bf16 cannot hold.
    for (Step& step : plan.programs[0]) step.fusion.gate = Gate::kSoft, step.fusion.lambda = 0;
    const std::string bytes = run(plan);
    CHECK(bytes.size() == rounded.size());
    if (kept.empty()) kept = bytes;
    CHECK(bytes == kept);
  }
}

TEST_CASE("a run that was cut off goes on from what was safe") {
  const TemporaryDirectory directory;
  const std::string expected = run(make_plan(directory, "whole"));
  for (const uint64_t written : {kWriteBlock, 2 * kWriteBlock}) {
    REQUIRE(written < expected.size());
    const std::string name = "cut" + std::to_string(written);
    MergePlan plan = make_plan(directory, name);
    plan.outputs[0].written = written;
    uint64_t end = expected.size();
    for (const MergePlan::Tensor& tensor : plan.tensors) end -= tensor.models[0].size();
    for (MergePlan::Tensor& tensor : plan.tensors) {
      end += tensor.models[0].size();
      tensor.done = end <= written;
    }
    directory.write(name, expected.substr(0, written) + "garbage");
    CHECK(run(plan) == expected);
  }
}

// The reader is ahead of the workers here all the time, and lets go of a tensor the moment it was asked for.
TEST_CASE("many small tensors, read ahead, released and written in quick succession") {
  const TemporaryDirectory directory;
  constexpr int kCount = 400;
  std::vector<TensorLayout> layouts;
  layouts.reserve(kCount);
  std::string bytes;
  for (int i = 0; i < kCount; i++)
    layouts.push_back({"t" + std::to_string(i), DType::F32, {uint64_t(i % 7)}, 4 * uint64_t(i % 7)});
  bytes = serialize_header(layouts, {}, 8);
  const uint64_t data = bytes.size();
  for (const TensorLayout& layout : layouts) bytes.append(layout.bytes, '\x3c');
  for (int round = 0; round < 10; round++) {
    const std::string path = directory.write("many" + std::to_string(round), bytes);
    const int descriptor = open(path.c_str(), O_RDONLY);
    fsync(descriptor);
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    close(descriptor);
    MergePlan plan = make_plan(directory, "out" + std::to_string(round));
    plan.inputs = {{path, bytes.size()}};
    plan.programs[0].pop_back();
    plan.tensors.clear();
    uint64_t at = data;
    for (const TensorLayout& layout : layouts) {
      plan.tensors.push_back({layout.name,
                              DType::F32,
                              DType::F32,
                              layout.shape,
                              {{0, at, at + layout.bytes}, {0, at, at + layout.bytes}},
                              0,
                              0});
      at += layout.bytes;
    }
    const std::string merged = run(plan);
    const bool same = merged.ends_with(std::string_view(bytes).substr(data));
    CHECK(same);
  }
}

/// Bytes of a range of an input.
std::string bytes_of(const MergePlan& plan, const ByteRange& range) {
  return contents(plan.inputs[range.input].path).substr(range.begin, range.size());
}

/// The first tensor alone, of which model 0 has 1000 rows and the others `rows`.
MergePlan make_tail_plan(const TemporaryDirectory& directory, const std::string& output, uint64_t rows) {
  MergePlan plan = make_plan(directory, output);
  plan.tensors.resize(1);
  MergePlan::Tensor& tensor = plan.tensors[0];
  tensor.shape[0] = rows;
  for (size_t model = 1; model < 3; model++)
    tensor.models[model].end = tensor.models[model].begin + rows * 700 * 2;
  tensor.tail = {0, 1000 - rows};
  return plan;
}

TEST_CASE("rows that one model alone has follow the merged ones, in the output's dtype") {
  const TemporaryDirectory directory;
  int files = 0;
  for (const uint64_t rows : {uint64_t(0), uint64_t(937), uint64_t(1000)}) {
    for (const DType dtype : {DType::BF16, DType::F32, DType::F16, DType::F64}) {
      const size_t size = dtype_bits(dtype) / 8;
      MergePlan cropped = make_tail_plan(directory, "cropped" + std::to_string(++files), rows);
      const ByteRange whole = cropped.tensors[0].models[0];
      cropped.tensors[0].output_dtype = dtype;
      cropped.tensors[0].models[0].end = whole.begin + rows * 700 * 2;
      cropped.tensors[0].tail.reset();
      const std::string merged = run(cropped);
      const std::string source = bytes_of(cropped, whole).substr(rows * 700 * 2);
      std::string tail(source.size() / 2 * size, '\0');
      (void)convert_elements(DType::BF16, reinterpret_cast<const std::byte*>(source.data()), dtype,
                             reinterpret_cast<std::byte*>(tail.data()), source.size() / 2);
      const std::string expected = merged.substr(merged.size() - rows * 700 * size) + tail;
      for (const uint64_t memory : {uint64_t(0), uint64_t(1) << 40}) {
        MergePlan plan = make_tail_plan(directory, "tail" + std::to_string(++files), rows);
        plan.tensors[0].output_dtype = dtype;
        plan.memory = memory;
        const std::string bytes = run(plan);
        const bool same = bytes.ends_with(expected);
        CHECK(same);
        CHECK(bytes.find("[1000,700]") != std::string::npos);

        // Cut off within the merged rows and within the tail.
        for (uint64_t written = kWriteBlock; written < bytes.size(); written += kWriteBlock) {
          MergePlan rest = make_tail_plan(directory, "rest" + std::to_string(++files), rows);
          rest.tensors[0].output_dtype = dtype;
          rest.outputs[0].written = written;
          directory.write("rest" + std::to_string(files), bytes.substr(0, written));
          const bool equal = run(rest) == bytes;
          CHECK(equal);
        }
      }
    }
  }
}

/// make_plan, once for each lambda, into an output each.
MergePlan make_sweep(const TemporaryDirectory& directory, const std::string& output, size_t count) {
  MergePlan plan = make_plan(directory, output + "0");
  const std::vector<MergePlan::Tensor> tensors = plan.tensors;
  plan.tensors.clear();
  for (size_t i = 1; i < count; i++) {
    plan.outputs.push_back({directory.file(output + std::to_string(i)), {{"format", "pt"}}});
    plan.programs.push_back(plan.programs[0]);
    for (Step& step : plan.programs[i]) step.fusion.lambda = 0.5 * double(i);
  }
  for (const MergePlan::Tensor& tensor : tensors)
    for (size_t i = 0; i < count; i++) {
      plan.tensors.push_back(tensor);
      plan.tensors.back().program = plan.tensors.back().output = i;
    }
  return plan;
}

/// The same outputs from a plan each.
MergePlan alone(MergePlan sweep, size_t output, const std::string& path) {
  sweep.outputs = {sweep.outputs[output]};
  sweep.outputs[0].path = path;
  std::erase_if(sweep.tensors, [&](const MergePlan::Tensor& tensor) { return tensor.output != output; });
  for (MergePlan::Tensor& tensor : sweep.tensors) tensor.output = 0;
  return sweep;
}

TEST_CASE("outputs of the same inputs are written in one pass that reads them once") {
  const TemporaryDirectory directory;
  const std::atomic<bool> cancelled{false};
  constexpr size_t kCount = 5;
  const MergePlan sweep = make_sweep(directory, "sweep", kCount);
  std::vector<std::string> expected;
  uint64_t bytes_read = 0;
  for (size_t i = 0; i < kCount; i++) {
    const MergePlan plan = alone(sweep, i, directory.file("alone" + std::to_string(i)));
    bytes_read = merge_checkpoints(plan, {}, cancelled).bytes_read;
    expected.push_back(contents(plan.outputs[0].path));
  }
  CHECK(expected[0] != expected[1]);

  uint64_t tensors = 0;
  MergeProgress last{};
  MergeCallbacks callbacks;
  callbacks.on_tensor = [&](const MergePlan::Tensor&, const MergedTensor&) { tensors++; };
  callbacks.on_progress = [&](const MergeProgress& progress) { last = progress; };
  CHECK(merge_checkpoints(sweep, callbacks, cancelled).bytes_read == bytes_read);
  CHECK(tensors == sweep.tensors.size());
  CHECK(last.bytes_done == last.bytes_total);
  CHECK(last.tensors_done == sweep.tensors.size());
  for (size_t i = 0; i < kCount; i++) {
    const bool same = contents(sweep.outputs[i].path) == expected[i];
    CHECK(same);
  }

  // One output of the pass was written in part by an earlier run, another one wholly.
  MergePlan rest = make_sweep(directory, "rest", kCount);
  directory.write("rest1", expected[1].substr(0, kWriteBlock));
  directory.write("rest3", expected[3]);
  rest.outputs[1].written = kWriteBlock;
  rest.outputs[3].written = expected[3].size();
  for (MergePlan::Tensor& tensor : rest.tensors) tensor.done = tensor.output == 3;
  CHECK(merge_checkpoints(rest, {}, cancelled).bytes_read == bytes_read);
  for (size_t i = 0; i < kCount; i++) {
    const bool same = contents(rest.outputs[i].path) == expected[i];
    CHECK(same);
  }

  // Tensors too large for the memory are read for each output, unless the page cache has them.
  MergePlan tight = make_sweep(directory, "tight", kCount);
  tight.memory = 100'000;
  const InputFiles inputs(tight.inputs);
  const bool cached = inputs.cached(0) && inputs.cached(1) && inputs.cached(2);
  const uint64_t tight_read = merge_checkpoints(tight, {}, cancelled).bytes_read;
  CHECK(tight_read >= (cached ? 1 : kCount - 1) * bytes_read);
  for (size_t i = 0; i < kCount; i++) {
    const bool same = contents(tight.outputs[i].path) == expected[i];
    CHECK(same);
  }
}

TEST_CASE("more outputs at once than there are blocks in flight") {
  const TemporaryDirectory directory;
  MergePlan sweep = make_sweep(directory, "many", 60);
  std::erase_if(sweep.tensors, [](const MergePlan::Tensor& tensor) { return tensor.name != "norm"; });
  const size_t count = sweep.tensors.size();
  for (size_t i = 0; i < count; i++) {
    sweep.tensors.push_back(sweep.tensors[i]);
    sweep.tensors.back().name = "another";
  }
  sweep.threads = 1;
  const std::atomic<bool> cancelled{false};
  merge_checkpoints(sweep, {}, cancelled);
  for (size_t i = 0; i < 60; i++) CHECK(contents(sweep.outputs[i].path).size() == 4096 + 2 * 700 * 2);
}

TEST_CASE("a plan that does not fit its inputs is refused") {
  const TemporaryDirectory directory;
  MergePlan beyond = make_plan(directory, "beyond");
  beyond.tensors[0].models[0].end += beyond.inputs[0].bytes;
  CHECK(error_code([&] { run(beyond); }) == "ERR_INVALID_ARGUMENT");
  MergePlan method = make_plan(directory, "method");
  method.programs[0][0].method = "no such";
  CHECK(error_code([&] { run(method); }) == "ERR_INVALID_ARGUMENT");
  MergePlan operand = make_plan(directory, "operand");
  operand.programs[0][0].operands[0] = {Operand::Kind::kStep, 0};
  CHECK(error_code([&] { run(operand); }) == "ERR_INVALID_ARGUMENT");
  MergePlan tail = make_plan(directory, "tail");
  tail.tensors[0].tail = {3, 0};
  CHECK(error_code([&] { run(tail); }) == "ERR_INVALID_ARGUMENT");
  MergePlan rows = make_plan(directory, "rows");
  rows.tensors[0].tail = {0, 1};
  CHECK(error_code([&] { run(rows); }) == "ERR_INVALID_ARGUMENT");
}

}  // namespace
}  // namespace branchmerge
