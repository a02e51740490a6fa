// Two checkpoints of one file each, fused from the page cache: on the CPU and on the device in turn.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "merge/merge_checkpoints.h"
#include "parts.h"
#include "safetensors/header.h"
#include "safetensors/read_header.h"

namespace branchmerge {
namespace {

namespace fs = std::filesystem;

/// Layers of a model of 32e9 parameters, as far as 2 GB go.
std::vector<TensorLayout> layouts(bool small) {
  std::vector<TensorLayout> tensors;
  const auto add = [&](const std::string& name, uint64_t rows, uint64_t columns) {
    tensors.push_back({name, DType::BF16, {rows, columns}, rows * columns * sizeof(uint16_t)});
  };
  const uint64_t hidden = small ? 64 : 5120, wide = small ? 320 : 27648;
  for (int layer = 0; layer < 2; layer++) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    add(prefix + "self_attn.q_proj.weight", hidden, hidden);
    add(prefix + "self_attn.o_proj.weight", hidden, hidden);
    add(prefix + "mlp.gate_proj.weight", wide, hidden);
    add(prefix + "mlp.up_proj.weight", wide, hidden);
    add(prefix + "mlp.down_proj.weight", hidden, wide);
  }
  return tensors;
}

void write_checkpoint(const fs::path& path, const std::vector<TensorLayout>& tensors,
                      const std::vector<uint16_t>& tile) {
  std::ofstream file(path, std::ios::binary);
  const std::string header = serialize_header(tensors, {{"format", "pt"}}, 8);
  file.write(header.data(), std::streamsize(header.size()));
  for (const TensorLayout& tensor : tensors)
    for (uint64_t at = 0; at < tensor.bytes; at += tile.size() * sizeof(uint16_t))
      file.write(reinterpret_cast<const char*>(tile.data()),
                 std::streamsize(std::min<uint64_t>(tile.size() * sizeof(uint16_t), tensor.bytes - at)));
  if (!file.flush()) throw Error("ERR_OUTPUT_WRITE", path.string() + ": cannot write");
}

/// Reads a file to its end, so that the page cache has it.
void load(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(1 << 22);
  while (file.read(buffer.data(), std::streamsize(buffer.size()))) continue;
}

bool same_files(const fs::path& a, const fs::path& b) {
  if (fs::file_size(a) != fs::file_size(b)) return false;
  std::ifstream files[]{std::ifstream(a, std::ios::binary), std::ifstream(b, std::ios::binary)};
  std::vector<char> buffers[]{std::vector<char>(1 << 22), std::vector<char>(1 << 22)};
  for (uint64_t left = fs::file_size(a); left > 0;) {
    const uint64_t bytes = std::min<uint64_t>(left, 1 << 22);
    for (int i = 0; i < 2; i++) files[i].read(buffers[i].data(), std::streamsize(bytes));
    if (!files[0] || !files[1] || std::memcmp(buffers[0].data(), buffers[1].data(), bytes) != 0) return false;
    left -= bytes;
  }
  return true;
}

MergePlan plan_of(const fs::path& left, const fs::path& right, const fs::path& output) {
  const HeaderFile files[] = {read_header(left), read_header(right)};
  MergePlan plan;
  plan.inputs = {{left.string(), files[0].bytes}, {right.string(), files[1].bytes}};
  plan.outputs.push_back({output.string(), {{"format", "pt"}}});
  plan.programs.push_back({{"fuse", {{Operand::Kind::kModel, 0}, {Operand::Kind::kModel, 1}}, {}, {}}});
  for (const TensorInfo& tensor : files[0].header.tensors)
    plan.tensors.push_back({tensor.name,
                            tensor.dtype,
                            tensor.dtype,
                            tensor.shape,
                            {{0, tensor.begin, tensor.end}, {1, tensor.begin, tensor.end}},
                            0,
                            0});
  plan.memory = uint64_t(4) << 30;
  plan.threads = std::max(1u, std::thread::hardware_concurrency());
  plan.instruction_set = &cpu::best_instruction_set();
  return plan;
}

/// After so long no other round is begun: a slow disk should not cost the device's time.
constexpr std::chrono::seconds kEnough{15};

/// Returns seconds.
double fuse_and_tell(const fs::path& left, const fs::path& right, const fs::path& output,
                     const std::vector<size_t>& devices) {
  fs::remove(output);
  MergePlan plan = plan_of(left, right, output);
  plan.devices = devices;
  const std::atomic<bool> cancelled{false};
  const MergeTotals totals = merge_checkpoints(plan, {}, cancelled);
  const char* on = devices.empty() ? "cpu" : "device";
  std::printf(
      "{\"part\": \"checkpoints\", \"directory\": \"%s\", \"on\": \"%s\", \"seconds\": %.4g, \"bytesRead\": "
      "%.0f, "
      "\"bytesWritten\": %.0f, \"directOutput\": %s}\n",
      output.parent_path().c_str(), on, totals.seconds, double(totals.bytes_read),
      double(totals.bytes_written), totals.direct_output ? "true" : "false");
  std::fflush(stdout);
  std::fprintf(stderr, "checkpoints in %s, on the %s: %.2f s, %.1f GB/s read\n", output.parent_path().c_str(),
               on, totals.seconds, double(totals.bytes_read) / totals.seconds / 1e9);
  return totals.seconds;
}

}  // namespace

void measure_checkpoints(const Settings& settings) {
  const fs::path directory = settings.directory, left = directory / "left.safetensors",
                 right = directory / "right.safetensors", on_cpu = directory / "on-cpu.safetensors",
                 on_device = directory / "on-device.safetensors";
  const Tile tile = make_tile();
  write_checkpoint(left, layouts(settings.small), tile.left);
  write_checkpoint(right, layouts(settings.small), tile.right);
  for (const fs::path& path : {left, right}) load(path);
  sync();  // lest writing the inputs slows down writing the outputs
  std::vector<double> cpu, device;
  const auto started = std::chrono::steady_clock::now();
  for (int round = 0; round < (settings.small ? 1 : 3); round++) {
    cpu.push_back(fuse_and_tell(left, right, on_cpu, {}));
    device.push_back(fuse_and_tell(left, right, on_device, {size_t(settings.device)}));
    if (std::chrono::steady_clock::now() - started > kEnough) break;
  }
  const bool same = same_files(on_cpu, on_device);
  std::printf("{\"part\": \"checkpoints\", \"same\": %s, \"cpuSeconds\": %.4g, \"deviceSeconds\": %.4g}\n",
              same ? "true" : "false", median(cpu), median(device));
  std::fflush(stdout);
  fs::remove(on_cpu);
  fs::remove(on_device);
  if (!same) throw std::runtime_error("the checkpoint has other bytes on the device than on the CPU");
}

}  // namespace branchmerge
