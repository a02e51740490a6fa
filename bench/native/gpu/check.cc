// Fusions on the device against the CPU's: golden cases, and shapes that take every way through the kernels.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "cuda/runtime.h"
#include "fusion/cuda/device_fusion.h"
#include "fusion/fuse_operator.h"
#include "golden_case.h"
#include "memory_operand.h"
#include "parts.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

struct Outcome {
  std::vector<std::byte> bytes;
  TensorStats stats;
  uint64_t taken = 0;
};

/// With as many threads as the machine has, for the large ones.
Outcome fuse_on_cpu(const Pair& pair, const FusionOptions& options) {
  constexpr uint64_t kStretch = 1 << 20;
  Outcome outcome;
  WorkerPool pool(std::max(1u, std::thread::hardware_concurrency()));
  FusionScratch scratch;
  const OperandInfo info = pair.info();
  FuseOperator fusion(info, pair.dtype, options, cpu::best_instruction_set(), scratch);
  Memory left(pair.left.data()), right(pair.right.data());
  const std::vector<TensorReader*> operands{&left, &right};
  fusion.prepare(operands, pool);
  outcome.bytes.resize(pair.left.size());
  std::atomic<uint64_t> taken{0};
  pool.for_each((info.elements + kStretch - 1) / kStretch, [&](size_t worker, size_t i) {
    const uint64_t begin = i * kStretch, end = std::min(info.elements, begin + kStretch);
    taken += fusion.apply(worker, begin, end, operands, outcome.bytes.data() + begin * pair.size());
  });
  outcome.taken = taken;
  outcome.stats = fusion.stats();
  return outcome;
}

/// A tensor in the device's memory, some elements from a multiple of 16 bytes.
class Resident final : public cuda::DeviceReader {
 public:
  Resident(const std::vector<std::byte>& bytes, size_t size, unsigned misalignment)
      : size_(size), offset_(misalignment * size), memory_(offset_ + bytes.size()) {
    cuda::check(cudaMemcpy(memory_.data() + offset_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice),
                "copy to it");
  }
  std::byte* data() const { return memory_.data() + offset_; }
  const std::byte* fetch(uint64_t begin, uint64_t) override { return data() + begin * size_; }

 private:
  const size_t size_, offset_;
  const cuda::DeviceMemory memory_;
};

Outcome fuse_on_device(const Pair& pair, const FusionOptions& options, unsigned misalignment) {
  Outcome outcome;
  const OperandInfo info = pair.info();
  const cuda::Stream stream;
  cuda::DeviceFusionScratch scratch;
  Resident left(pair.left, pair.size(), misalignment), right(pair.right, pair.size(), misalignment);
  const cuda::DeviceMemory out(pair.left.size()), taken(sizeof(unsigned long long));
  // The copies went by the default stream, which this one does not wait for.
  cuda::check(cudaMemset(out.data(), 0xcd, out.size()), "clear memory");
  cuda::check(cudaMemset(taken.data(), 0, taken.size()), "clear memory");
  cuda::check(cudaDeviceSynchronize(), "finish its work");
  cuda::DeviceFusion fusion(info, pair.dtype, options, info.elements, scratch, stream);
  fusion.prepare(left, right);
  fusion.apply(0, info.elements, left.data(), right.data(), out.data(),
               reinterpret_cast<unsigned long long*>(taken.data()));
  stream.synchronize();
  outcome.stats = fusion.stats();
  outcome.bytes.resize(out.size());
  cuda::check(cudaMemcpy(outcome.bytes.data(), out.data(), out.size(), cudaMemcpyDeviceToHost),
              "copy from it");
  cuda::check(cudaMemcpy(&outcome.taken, taken.data(), taken.size(), cudaMemcpyDeviceToHost), "copy from it");
  return outcome;
}

/// Bit for bit.
bool same_figures(const TensorStats& a, const TensorStats& b) {
  const auto figures = [](const TensorStats& stats) {
    std::vector<uint64_t> bits;
    bits.reserve(7);
    for (const double figure :
         {stats.threshold, stats.q1, stats.median, stats.q3, stats.kl_min, stats.kl_median, stats.kl_max})
      bits.push_back(std::bit_cast<uint64_t>(figure));
    return bits;
  };
  return figures(a) == figures(b) && a.identical == b.identical && a.degenerate == b.degenerate &&
         a.kept_operand == b.kept_operand;
}

bool same_fusion(const Pair& pair, const FusionOptions& options, unsigned misalignment = 0) {
  const Outcome device = fuse_on_device(pair, options, misalignment), expected = fuse_on_cpu(pair, options);
  return device.bytes == expected.bytes && device.taken == expected.taken &&
         same_figures(device.stats, expected.stats);
}

Pair make_pair(DType dtype, const std::vector<uint64_t>& shape, double difference, uint64_t seed) {
  Pair pair{dtype, shape, {}, {}};
  const uint64_t n = pair.info().elements;
  pair.left.resize(n * pair.size());
  pair.right.resize(n * pair.size());
  const auto draw = [&] { return (double(next_random(seed)) + double(next_random(seed))) * 0x1p-31 - 1; };
  for (uint64_t i = 0; i < n; i++) {
    const double values[] = {0.04 * draw(), difference * draw()};
    const double right = values[0] + values[1];
    (void)round_to_dtype(values, dtype, pair.left.data() + i * pair.size(), 1);
    (void)round_to_dtype(&right, dtype, pair.right.data() + i * pair.size(), 1);
  }
  return pair;
}

/// A large bf16 tensor: the tile, over and over.
Pair tiled_pair(const Tile& tile, uint64_t rows, uint64_t columns) {
  Pair pair{DType::BF16, {rows, columns}, {}, {}};
  const uint64_t bytes = rows * columns * sizeof(uint16_t), tile_bytes = Tile::kElements * sizeof(uint16_t);
  const auto fill = [&](std::vector<std::byte>& side, const std::vector<uint16_t>& with) {
    side.resize(bytes);
    for (uint64_t at = 0; at < bytes; at += tile_bytes)
      std::memcpy(side.data() + at, with.data(), std::min(tile_bytes, bytes - at));
  };
  fill(pair.left, tile.left);
  fill(pair.right, tile.right);
  return pair;
}

class Checks {
 public:
  void add(const std::string& name, bool same) {
    count_++;
    if (same) return;
    std::fprintf(stderr, "differs from the CPU's: %s\n", name.c_str());
    differing_ += (differing_.empty() ? "\"" : ", \"") + name + "\"";
  }
  void tell(const char* what) const {
    std::printf("{\"part\": \"check\", \"what\": \"%s\", \"count\": %zu, \"differing\": [%s]}\n", what,
                count_, differing_.c_str());
    std::fflush(stdout);
    std::fprintf(stderr, "%zu %s: %s\n", count_, what,
                 differing_.empty() ? "the CPU's bytes and figures" : "DIFFER");
  }
  bool all_same() const { return differing_.empty(); }

 private:
  size_t count_ = 0;
  std::string differing_;
};

Checks check_golden(const std::string& golden) {
  Checks checks;
  for (const auto& entry : std::filesystem::directory_iterator(golden))
    if (entry.is_directory())
      checks.add(entry.path().filename().string(),
                 same_fusion(read_golden(entry.path()), read_options(entry.path() / "case.json")));
  checks.tell("golden cases");
  return checks;
}

/// Short rows and long ones, near and far, from any place in memory.
Checks check_shapes(bool small) {
  Checks checks;
  std::vector<std::vector<uint64_t>> shapes{{1}, {33, 1}, {7, 33}, {9, 31}, {3, 1025}, {200, 517}};
  if (!small)
    for (const auto& shape : {std::vector<uint64_t>{6, 27'648}, {2, 152'064}, {(1 << 20) + 5}, {1200, 1031}})
      shapes.push_back(shape);
  FusionOptions soft;
  soft.scope = Scope::kTensor;
  soft.score = Score::kSigned;
  soft.gate = Gate::kSoft;
  uint64_t seed = 1;
  for (const DType dtype : {DType::BF16, DType::F16, DType::F32, DType::F64})
    for (const std::vector<uint64_t>& shape : shapes)
      for (const double difference : {1e-3, 0.5}) {
        const Pair pair = make_pair(dtype, shape, difference, seed);
        const std::string name = std::string(dtype_name(dtype)) + " " + std::to_string(pair.info().elements) +
                                 " elements, seed " + std::to_string(seed);
        checks.add(name,
                   same_fusion(pair, {}, unsigned(seed % 3)) && same_fusion(pair, soft, unsigned(seed % 2)));
        seed++;
      }
  checks.tell("shapes");
  return checks;
}

/// As large as those that are measured.
Checks check_large() {
  Checks checks;
  const Tile tile = make_tile();
  for (const auto& [rows, columns] :
       {std::pair<uint64_t, uint64_t>{5120, 5120}, {27'648, 5120}, {5120, 27'648}})
    checks.add(std::to_string(rows) + " x " + std::to_string(columns),
               same_fusion(tiled_pair(tile, rows, columns), {}));
  checks.tell("large tensors");
  return checks;
}

}  // namespace

void check_fusions(const Settings& settings) {
  bool same = check_golden(settings.golden).all_same();
  same &= check_shapes(settings.small).all_same();
  if (!settings.small) same &= check_large().all_same();
  if (!same) throw std::runtime_error("the device gives other bytes or figures than the CPU");
}

}  // namespace branchmerge
