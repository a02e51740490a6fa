// Each kernel by itself, and whole fusions of tensors that lie in the device's memory, beside what it copies.
#include "fusion/cuda/kernels.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cuda/runtime.h"
#include "fusion/cuda/device_fusion.h"
#include "fusion/cuda/sampled_rows.h"
#include "parts.h"

namespace branchmerge {
namespace {

using namespace cuda;

struct Shape {
  uint64_t rows, columns;
};
/// Projections, an MLP and an embedding of a model of 32e9 parameters. The smallest pair and its result take
/// 157 MB, three times an H100's L2 cache.
constexpr Shape kShapes[] = {{5120, 5120}, {27648, 5120}, {5120, 27648}, {152064, 5120}};
constexpr Shape kSmallShapes[] = {{64, 5120}, {40, 27648}, {300, 517}, {640, 1024}};

/// n elements of the tile, over and over, on the device.
DeviceMemory fill(const std::vector<uint16_t>& tile, uint64_t n, const Stream& stream) {
  DeviceMemory memory(n * sizeof(uint16_t));
  for (uint64_t at = 0; at < n; at += tile.size()) {
    const uint64_t bytes = std::min<uint64_t>(tile.size(), n - at) * sizeof(uint16_t);
    std::byte* to = memory.data() + at * sizeof(uint16_t);
    if (at == 0)
      check(cudaMemcpyAsync(to, tile.data(), bytes, cudaMemcpyHostToDevice, stream), "copy to it");
    else
      check(cudaMemcpyAsync(to, memory.data(), bytes, cudaMemcpyDeviceToDevice, stream), "copy within it");
  }
  stream.synchronize();
  return memory;
}

/// Seconds on the device, the median of some.
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

  double seconds(int repeats, const std::function<void()>& work) {
    work();  // the first time a kernel is loaded
    stream_.synchronize();
    std::vector<double> times(size_t(repeats), 0);
    for (double& time : times) time = once(work);
    return median(times);
  }

  double once(const std::function<void()>& work) {
    check(cudaEventRecord(begin_, stream_), "record an event");
    work();
    check(cudaEventRecord(end_, stream_), "record an event");
    check(cudaEventSynchronize(end_), "finish its work");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "tell the time");
    return double(milliseconds) / 1e3;
  }

 private:
  const Stream& stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// Bytes a second: read and written within the device, and over the link to pinned memory.
struct CopyRates {
  double within, to_device, from_device;
};

CopyRates copy_rates(bool small) {
  // Far beyond any cache.
  const uint64_t bytes = small ? 1 << 20 : uint64_t(1) << 30, link = bytes / 4;
  const int repeats = small ? 1 : 11;
  const Stream stream;
  const DeviceMemory from(bytes), to(bytes);
  const PinnedMemory host(link);
  std::memset(host.data(), 1, host.size());
  Stopwatch watch(stream);
  const auto copy = [&](std::byte* out, const std::byte* in, uint64_t size, cudaMemcpyKind kind) {
    return [=, &stream] { check(cudaMemcpyAsync(out, in, size, kind, stream), "copy"); };
  };
  check(cudaMemsetAsync(from.data(), 1, from.size(), stream), "clear memory");
  const auto within = copy(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice);
  // Half a second: an idle device's clocks are slow.
  for (double warm = 0; !small && warm < 0.5;) warm += watch.once(within);
  return {2 * double(bytes) / watch.seconds(repeats, within),
          double(link) / watch.seconds(repeats, copy(to.data(), host.data(), link, cudaMemcpyHostToDevice)),
          double(link) / watch.seconds(repeats, copy(host.data(), to.data(), link, cudaMemcpyDeviceToHost))};
}

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

std::string json_of(const std::vector<Measured>& all) {
  std::string text;
  char object[256];
  for (const Measured& each : all) {
    std::snprintf(object, sizeof object, "{\"name\": \"%s\", \"seconds\": %.6g, \"bytes\": %llu}",
                  each.name.c_str(), each.seconds, static_cast<unsigned long long>(each.bytes));
    text += (text.empty() ? "" : ", ") + std::string(object);
  }
  return text;
}

/// Against the copies within the device, in bytes a second.
void show(const Shape& shape, const std::vector<Measured>& all, double copied) {
  for (const Measured& each : all) {
    const double rate = double(each.bytes) / each.seconds;
    std::fprintf(stderr, "%6llu x %-6llu %-24s %9.3f ms %7.0f GB/s %4.0f %% of copying\n",
                 static_cast<unsigned long long>(shape.rows), static_cast<unsigned long long>(shape.columns),
                 each.name.c_str(), each.seconds * 1e3, rate / 1e9, 100 * rate / copied);
  }
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

  void run(double copied) {
    const std::vector<Measured> fusions = whole_fusions(), each = kernels();
    std::printf(
        "{\"part\": \"kernels\", \"rows\": %llu, \"columns\": %llu, \"dtype\": \"BF16\", \"floorSeconds\": "
        "%.6g, "
        "\"fusions\": [%s], \"kernels\": [%s]}\n",
        static_cast<unsigned long long>(shape_.rows), static_cast<unsigned long long>(shape_.columns),
        3 * double(bytes()) / copied, json_of(fusions).c_str(), json_of(each).c_str());
    std::fflush(stdout);
    show(shape_, fusions, copied);
    show(shape_, each, copied);
  }

 private:
  uint64_t bytes() const { return n_ * sizeof(uint16_t); }
  OperandInfo info() const { return {"w", DType::BF16, {shape_.rows, shape_.columns}, n_}; }

  /// prepare and apply over the whole tensor. The bytes are those of the floor: one read of both, one write.
  Measured whole_fusion(const char* name, const FusionOptions& options) {
    Resident left(left_), right(right_);
    const OperandInfo operands = info();
    const double seconds = watch_.seconds(settings_.repeats(), [&] {
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

  /// Each kernel by itself, in the order in which a fusion launches them.
  std::vector<Measured> kernels() {
    const DeviceKernels<float> table = bf16_kernels_in_float32();
    const auto cleared = [&](size_t bytes) {
      DeviceMemory memory(bytes);
      check(cudaMemsetAsync(memory.data(), 0, bytes, stream_), "clear memory");
      return memory;
    };
    const DeviceMemory kl = cleared(shape_.rows * sizeof(float)), summary = cleared(sizeof(Summary)),
                       counts = cleared(size_t(kMaxPrefixes) * kMaxDigitBins * sizeof(unsigned long long)),
                       left_over = cleared((shape_.rows + 1) * sizeof(unsigned));

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
    const auto analyse = [&](const char* name, Scoring scoring) {
      rows.scoring = scoring;
      return measure(name, 2 * bytes(), [&] { table.analyse_rows(rows, stream_); });
    };
    std::vector<Measured> measured{analyse("any rows", Scoring::kNone),
                                   analyse("any rows, digits", Scoring::kDigits)};
    rows.left_over = reinterpret_cast<unsigned*>(left_over.data());
    if (const RowShape shape(info(), {}); sampling_pays(shape)) quick_kernels(table, shape, rows, measured);

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

  /// The sample, the brackets, the quick kernel, and the quartiles among what it collects.
  void quick_kernels(const DeviceKernels<float>& table, const RowShape& shape, RowsTask<float> rows,
                     std::vector<Measured>& measured) {
    const SampledRows sampled(shape);
    const DeviceMemory sample(size_t(kSampleGroups) * kSampleBins * sizeof(unsigned)),
        scores(collected_bytes(shape)), state(sizeof(BracketState<float>)), placed(state.size()),
        selection(sizeof(Selection<float>)),
        counts(size_t(kQuartileElements) * kMaxDigitBins * sizeof(unsigned long long));
    for (const DeviceMemory* memory : {&sample, &placed, &selection, &counts})
      check(cudaMemsetAsync(memory->data(), 0, memory->size(), stream_), "clear memory");

    RowsTask<float> look = rows;
    look.rows = sampled.count;
    look.every = sampled.every;
    look.summary = nullptr;
    look.scoring = Scoring::kSample;
    look.sample = {reinterpret_cast<unsigned*>(sample.data()), sampled.one_in};
    measured.push_back(measure("slight rows, sample", 2 * sizeof(uint16_t) * look.rows * look.row_length,
                               [&] { table.analyse_rows(look, stream_); }));
    measured.push_back(measure("place brackets", sample.size(), [&] {
      place_brackets(look.sample.counts, {false, kWidestBracket},
                     reinterpret_cast<BracketState<float>*>(placed.data()), stream_);
    }));

    rows.scoring = Scoring::kBrackets;
    const BracketRuns runs = table.bracket_runs(rows);
    const unsigned all_runs = runs.blocks * runs.per_block;
    const DeviceMemory sizes(all_runs * sizeof(unsigned));
    rows.brackets = {reinterpret_cast<BracketState<float>*>(state.data()),
                     reinterpret_cast<float*>(scores.data()),
                     reinterpret_cast<unsigned*>(sizes.data()),
                     all_runs,
                     runs.per_block,
                     unsigned(scores.size() / sizeof(float) / all_runs)};
    measured.push_back(measure("slight rows, brackets", 2 * bytes(), [&] {
      check(cudaMemcpyAsync(state.data(), placed.data(), state.size(), cudaMemcpyDeviceToDevice, stream_),
            "copy");
      check(cudaMemsetAsync(sizes.data(), 0, sizes.size(), stream_), "clear memory");
      table.analyse_rows(rows, stream_);
    }));
    measured.push_back(measure("select quartiles", 3 * collected(state) * sizeof(float), [&] {
      select_quartiles(rows.brackets, quartile_population({}, n_, 0, 0), rows.summary,
                       reinterpret_cast<unsigned long long*>(counts.data()),
                       reinterpret_cast<Selection<float>*>(selection.data()), stream_);
    }));
  }

  uint64_t collected(const DeviceMemory& state) const {
    BracketState<float> found{};
    check(cudaMemcpyAsync(&found, state.data(), sizeof found, cudaMemcpyDeviceToHost, stream_),
          "copy from it");
    stream_.synchronize();
    return found.collected;
  }

  Measured measure(const char* name, uint64_t moved, const std::function<void()>& work) {
    return {name, watch_.seconds(settings_.repeats(), work), moved};
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

void write_file(const std::string& path, const std::vector<uint16_t>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * sizeof(uint16_t)));
  if (!file.flush()) throw Error("ERR_OUTPUT_WRITE", path + ": cannot write");
}

}  // namespace

void describe_device(const Settings& settings) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, settings.device), "tell its properties");
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "tell its driver");
  check(cudaRuntimeGetVersion(&runtime), "tell its runtime");
  const CopyRates rates = copy_rates(settings.small);
  std::printf(
      "{\"part\": \"device\", \"device\": \"%s\", \"computeCapability\": \"%d.%d\", \"driverCuda\": %d, "
      "\"runtimeCuda\": %d, \"multiprocessors\": %d, \"l2CacheBytes\": %d, \"memoryBytes\": %zu, "
      "\"copyBytesPerSecond\": %.6g, \"toDeviceBytesPerSecond\": %.6g, \"fromDeviceBytesPerSecond\": %.6g}\n",
      properties.name, properties.major, properties.minor, driver, runtime, properties.multiProcessorCount,
      properties.l2CacheSize, properties.totalGlobalMem, rates.within, rates.to_device, rates.from_device);
  std::fflush(stdout);
  std::fprintf(stderr, "%s: copies %.0f GB/s within, %.1f GB/s to it, %.1f GB/s from it\n", properties.name,
               rates.within / 1e9, rates.to_device / 1e9, rates.from_device / 1e9);
}

void measure_kernels(const Settings& settings) {
  const Tile tile = make_tile();
  if (!settings.tile.empty()) {
    write_file(settings.tile + "/left.bf16", tile.left);
    write_file(settings.tile + "/right.bf16", tile.right);
  }
  const double copied = copy_rates(settings.small).within;
  std::printf("{\"part\": \"kernels\", \"copyBytesPerSecond\": %.6g}\n", copied);
  std::fflush(stdout);
  const std::vector<Shape> shapes = settings.small
                                        ? std::vector<Shape>(std::begin(kSmallShapes), std::end(kSmallShapes))
                                        : std::vector<Shape>(std::begin(kShapes), std::end(kShapes));
  for (const Shape& shape : shapes) Bench(shape, tile, settings).run(copied);
}

}  // namespace branchmerge
