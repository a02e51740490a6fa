// What one GPU gets through in each kernel of fusion, and in a whole fusion of a tensor that lies in its
// memory, beside what it copies. JSON on standard output; bench/gpu.sh runs it.
//
//   gpu [--device N] [--small] [--tile DIRECTORY]
//
// --small: small shapes, once, for compute-sanitizer and for the emulation. --tile: writes the pair that all
// tensors are made of as left.bf16 and right.bf16, for bench/textbook.py.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "cuda/runtime.h"
#include "error.h"
#include "fusion/cuda/device_fusion.h"
#include "fusion/cuda/kernels.h"

using namespace branchmerge;
using namespace branchmerge::cuda;

namespace {

struct Shape {
  uint64_t rows, columns;
};
/// Projections, an MLP and an embedding of a model of 32e9 parameters.
constexpr Shape kShapes[] = {{5120, 5120}, {27648, 5120}, {5120, 27648}, {152064, 5120}};
constexpr Shape kSmallShapes[] = {{64, 5120}, {40, 27648}, {300, 517}};

/// Elements of the pair that tensors are filled with, again and again.
constexpr uint64_t kTile = uint64_t(1) << 22;

struct Settings {
  int device = 0;
  bool small = false;
  std::string tile;
  int repeats() const { return small ? 1 : 7; }
};

/// Small pseudo-random integers; the kernels' speed does not depend on how good they are.
uint32_t next_random(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return uint32_t(state >> 33);
}

uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct Tile {
  std::vector<uint16_t> left = std::vector<uint16_t>(kTile), right = std::vector<uint16_t>(kTile);
};

/// Weights of standard deviation 0.02, and a fine-tune of them.
Tile make_tile() {
  Tile tile;
  uint64_t state = 1;
  const auto bell = [&] {
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += float(next_random(state)) * 0x1p-31f - 0.5f;
    return sum * 1.732f;
  };
  for (uint64_t i = 0; i < kTile; i++) {
    const float weight = 0.02f * bell();
    tile.left[i] = to_bf16(weight);
    tile.right[i] = to_bf16(weight + 5e-4f * bell());
  }
  return tile;
}

/// n elements of the tile, over and over, on the device.
DeviceMemory fill(const std::vector<uint16_t>& tile, uint64_t n, const Stream& stream) {
  DeviceMemory memory(n * sizeof(uint16_t));
  for (uint64_t at = 0; at < n; at += kTile) {
    const uint64_t bytes = std::min(kTile, n - at) * sizeof(uint16_t);
    std::byte* to = memory.data() + at * sizeof(uint16_t);
    if (at == 0)
      check(cudaMemcpyAsync(to, tile.data(), bytes, cudaMemcpyHostToDevice, stream), "copy to it");
    else
      check(cudaMemcpyAsync(to, memory.data(), bytes, cudaMemcpyDeviceToDevice, stream), "copy within it");
  }
  stream.synchronize();
  return memory;
}

/// Seconds on the device, the best of some.
class Stopwatch {
 public:
  explicit Stopwatch(const Stream& stream) : stream_(stream) {
    check(cudaEventCreate(&begin_), "create an event");
    check(cudaEventCreate(&end_), "create an event");
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  double best_seconds(int repeats, const std::function<void()>& work) {
    work();
    stream_.synchronize();
    double best = 1e9;
    for (int i = 0; i < repeats; i++) {
      check(cudaEventRecord(begin_, stream_), "record an event");
      work();
      check(cudaEventRecord(end_, stream_), "record an event");
      check(cudaEventSynchronize(end_), "finish its work");
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin_, end_), "tell the time");
      best = std::min(best, double(milliseconds) / 1e3);
    }
    return best;
  }

 private:
  const Stream& stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// A tensor that lies on the device.
class Resident final : public DeviceReader {
 public:
  explicit Resident(const DeviceMemory& memory) : memory_(memory) {}
  const std::byte* fetch(uint64_t begin, uint64_t) override {
    return memory_.data() + begin * sizeof(uint16_t);
  }

 private:
  const DeviceMemory& memory_;
};

struct Measured {
  std::string name;
  double seconds;
  uint64_t bytes;  // read and written
};

void print(const std::vector<Measured>& all) {
  for (size_t i = 0; i < all.size(); i++)
    std::printf("%s      {\"name\": \"%s\", \"seconds\": %.9g, \"bytes\": %llu}", i == 0 ? "" : ",\n",
                all[i].name.c_str(), all[i].seconds, static_cast<unsigned long long>(all[i].bytes));
}

/// One bf16 pair in the memory of the device.
class Bench {
 public:
  Bench(const Shape& shape, const Tile& tile, const Settings& settings)
      : shape_(shape),
        n_(shape.rows * shape.columns),
        settings_(settings),
        left_(fill(tile.left, n_, stream_)),
        right_(fill(tile.right, n_, stream_)),
        out_(n_ * sizeof(uint16_t)),
        watch_(stream_) {}

  double copy_seconds() {
    return watch_.best_seconds(settings_.repeats(), [&] {
      check(cudaMemcpyAsync(out_.data(), left_.data(), bytes(), cudaMemcpyDeviceToDevice, stream_), "copy");
    });
  }

  void run() {
    const double copy = copy_seconds(), copied = 2 * double(bytes()) / copy;
    std::printf("    {\"rows\": %llu, \"columns\": %llu, \"dtype\": \"BF16\",\n",
                static_cast<unsigned long long>(shape_.rows),
                static_cast<unsigned long long>(shape_.columns));
    std::printf("     \"copyBytesPerSecond\": %.6g, \"floorSeconds\": %.9g,\n", copied,
                3 * double(bytes()) / copied);
    const std::vector<Measured> fusions = whole_fusions();
    std::printf("     \"fusions\": [\n");
    print(fusions);
    std::printf("],\n     \"kernels\": [\n");
    print(kernels());
    std::printf("]}");
  }

 private:
  uint64_t bytes() const { return n_ * sizeof(uint16_t); }
  OperandInfo info() const { return {"w", DType::BF16, {shape_.rows, shape_.columns}, n_}; }

  /// prepare and apply over the whole tensor. The bytes are those of the floor: one read of both, one write.
  Measured whole_fusion(const char* name, const FusionOptions& options) {
    Resident left(left_), right(right_);
    const OperandInfo operands = info();
    const double seconds = watch_.best_seconds(settings_.repeats(), [&] {
      DeviceFusion fusion(operands, DType::BF16, options, n_, scratch_, stream_);
      fusion.prepare(left, right);
      fusion.apply(0, n_, left_.data(), right_.data(), out_.data(), nullptr);
      stats_ = fusion.stats();
    });
    return {name, seconds, 3 * bytes()};
  }

  std::vector<Measured> whole_fusions() {
    FusionOptions paper;
    paper.scope = Scope::kTensor;
    paper.divergence = Divergence::kLeftRight;
    paper.score = Score::kSigned;
    paper.gate = Gate::kGreater;
    std::vector<Measured> measured{whole_fusion("paper", paper)};
    measured.push_back(whole_fusion("arcee", {}));  // last: its quartiles are used below
    return measured;
  }

  /// Each kernel by itself, with brackets as tight as the engine's.
  std::vector<Measured> kernels() {
    const DeviceKernels<float> table = bf16_kernels_in_float32();
    const DeviceMemory kl(shape_.rows * sizeof(float)), summary(sizeof(Summary)),
        counts(size_t(kMaxPrefixes) * kMaxDigitBins * sizeof(unsigned long long)),
        sample(size_t(kSampleGroups) * kSampleBins * sizeof(unsigned)),
        below(kMaxBrackets * sizeof(unsigned long long));
    for (const DeviceMemory* memory : {&kl, &summary, &counts, &sample, &below})
      check(cudaMemsetAsync(memory->data(), 0, memory->size(), stream_), "clear memory");

    RowsTask<float> rows;
    rows.left = left_.data();
    rows.right = right_.data();
    rows.rows = shape_.rows;
    rows.row_length = unsigned(shape_.columns);
    rows.kl = reinterpret_cast<float*>(kl.data());
    rows.summary = reinterpret_cast<Summary*>(summary.data());
    rows.epsilon = FusionOptions().epsilon;
    rows.right_is_p = true;
    rows.digits = {
        1, 32 - kMaxDigitBits, kMaxDigitBits, {}, reinterpret_cast<unsigned long long*>(counts.data())};
    rows.sample = {reinterpret_cast<unsigned*>(sample.data()), 1};
    const auto analyse = [&](const char* name, Scoring scoring) {
      rows.scoring = scoring;
      return measure(name, 2 * bytes(), [&] { table.analyse_rows(rows, stream_); });
    };
    std::vector<Measured> measured{analyse("analyse_rows", Scoring::kNone),
                                   analyse("analyse_rows, digits", Scoring::kDigits),
                                   analyse("analyse_rows, sample", Scoring::kSample)};

    rows.scoring = Scoring::kBrackets;
    rows.brackets.count = kMaxBrackets;
    const double quartiles[] = {stats_.q1, stats_.median, stats_.q3};
    for (int j = 0; j < kMaxBrackets; j++) {
      rows.brackets.low[j] = float(quartiles[j] * 0.995);
      rows.brackets.high[j] = float(quartiles[j] * 1.005);
    }
    const unsigned blocks = table.row_blocks(rows);
    rows.brackets.capacity = unsigned(n_ / blocks / 16 + 4096);  // thrice what they hold
    const DeviceMemory inside(size_t(kMaxBrackets) * blocks * rows.brackets.capacity * sizeof(float)),
        sizes(size_t(kMaxBrackets) * blocks * sizeof(unsigned));
    check(cudaMemsetAsync(sizes.data(), 0, sizes.size(), stream_), "clear memory");
    rows.brackets.at_most_low = reinterpret_cast<unsigned long long*>(below.data());
    rows.brackets.inside = reinterpret_cast<float*>(inside.data());
    rows.brackets.sizes = reinterpret_cast<unsigned*>(sizes.data());
    measured.push_back(analyse("analyse_rows, brackets", Scoring::kBrackets));

    ScoresTask<float> scores;
    scores.left = left_.data();
    scores.right = right_.data();
    scores.elements = std::min(n_, kMaxElementsAtOnce);
    scores.kl = rows.kl;
    scores.row_length = rows.row_length;
    measured.push_back(measure("count_scores", 2 * sizeof(uint16_t) * scores.elements,
                               [&] { table.count_scores(scores, rows.digits, stream_); }));
    measured.push_back(measure("extent", 2 * bytes(), [&] {
      table.extent(left_.data(), right_.data(), n_, false, rows.summary, nullptr, stream_);
    }));
    GateTask<float> gate{scores};
    gate.least = float(stats_.threshold);
    gate.out = out_.data();
    gate.output_dtype = DType::BF16;
    measured.push_back(measure("hard_gate", 3 * sizeof(uint16_t) * scores.elements,
                               [&] { table.hard_gate(gate, stream_); }));
    return measured;
  }

  Measured measure(const char* name, uint64_t moved, const std::function<void()>& work) {
    return {name, watch_.best_seconds(settings_.repeats(), work), moved};
  }

  const Shape shape_;
  const uint64_t n_;
  const Settings& settings_;
  const Stream stream_;
  const DeviceMemory left_, right_, out_;
  Stopwatch watch_;
  DeviceFusionScratch scratch_;
  TensorStats stats_;
};

Settings settings_of(int count, char** arguments) {
  Settings settings;
  for (int i = 1; i < count; i++) {
    const std::string argument = arguments[i];
    if (argument == "--small") {
      settings.small = true;
    } else if (argument == "--device" && i + 1 < count) {
      settings.device = std::stoi(arguments[++i]);
    } else if (argument == "--tile" && i + 1 < count) {
      settings.tile = arguments[++i];
    } else {
      throw Error("ERR_INVALID_ARGUMENT", "Usage: gpu [--device N] [--small] [--tile DIRECTORY]");
    }
  }
  return settings;
}

void write_file(const std::string& path, const std::vector<uint16_t>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * sizeof(uint16_t)));
  if (!file.flush()) throw Error("ERR_OUTPUT_WRITE", path + ": cannot write");
}

void run(const Settings& settings) {
  const Tile tile = make_tile();
  if (!settings.tile.empty()) {
    write_file(settings.tile + "/left.bf16", tile.left);
    write_file(settings.tile + "/right.bf16", tile.right);
  }
  check(cudaSetDevice(settings.device), "start");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, settings.device), "tell its properties");
  std::printf("{\"device\": \"%s\", \"multiprocessors\": %d, \"l2CacheBytes\": %d, \"memoryBytes\": %zu,\n",
              properties.name, properties.multiProcessorCount, properties.l2CacheSize,
              properties.totalGlobalMem);
  std::printf("  \"shapes\": [\n");
  const std::vector<Shape> shapes = settings.small
                                        ? std::vector<Shape>(std::begin(kSmallShapes), std::end(kSmallShapes))
                                        : std::vector<Shape>(std::begin(kShapes), std::end(kShapes));
  for (size_t i = 0; i < shapes.size(); i++) {
    if (i > 0) std::printf(",\n");
    Bench(shapes[i], tile, settings).run();
  }
  std::printf("]}\n");
}

}  // namespace

int main(int count, char** arguments) {
  try {
    run(settings_of(count, arguments));
  } catch (const Error& error) {
    std::fprintf(stderr, "gpu: %s [%s]\n", error.what(), error.code);
    return 1;
  }
}
