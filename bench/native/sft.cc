// What training reaches of the machine's matrix products: tokens a second of forward and backward passes, and
// their floating-point operations a second as a fraction of what the same OpenBLAS's sgemm reaches between
// them. A Llama of 25 million parameters, one document a batch. JSON on standard output.
//
//   sft_bench [threads [sequence length]...]
#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "sft/model/decoder.h"
#include "sft/model/flops.h"
#include "sft/model/parameters.h"
#include "sft/ops/cpu/cpu_backend.h"

using namespace branchmerge;
using namespace branchmerge::sft;

namespace {

constexpr int kRepeats = 5;
constexpr size_t kProductSize = 1024;
constexpr size_t kLossChunk = 256;

ModelConfig model_of_25_million() {
  ModelConfig config{};
  config.family = Family::kLlama;
  config.hidden_size = 512;
  config.intermediate_size = 1408;
  config.layers = 8;
  config.heads = 8;
  config.key_value_heads = 2;
  config.head_dim = 64;
  config.vocabulary_size = 6144;
  config.rms_norm_epsilon = 1e-5F;
  config.tied = true;
  return config;
}

using Blocks = std::vector<std::vector<float>>;

/// All blocks in memory, as with one process.
class ResidentWeights final : public WeightSource {
 public:
  explicit ResidentWeights(const Blocks& blocks) : blocks_(blocks) {}
  const float* acquire(size_t block) override { return blocks_[block].data(); }
  void release(size_t) override {}

 private:
  const Blocks& blocks_;
};

class ResidentGradients final : public GradientSink {
 public:
  explicit ResidentGradients(Blocks& blocks) : blocks_(blocks) {}
  float* acquire(size_t block) override { return blocks_[block].data(); }
  void release(size_t) override {}

 private:
  Blocks& blocks_;
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// OpenBLAS on `threads` threads of its own. The decoder's backend goes by one thread a call.
double product_flops(size_t threads, const std::vector<float>& a, const std::vector<float>& b,
                     std::vector<float>& c) {
  constexpr auto kSize = blasint(kProductSize);
  openblas_set_num_threads(int(threads));
  const double seconds = seconds_of([&] {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, kSize, kSize, kSize, 1, a.data(), kSize, b.data(),
                kSize, 0, c.data(), kSize);
  });
  openblas_set_num_threads(1);
  return 2.0 * double(kProductSize * kProductSize * kProductSize) / seconds;
}

struct Batches {
  std::vector<uint32_t> tokens, positions, segments;
  std::vector<int32_t> targets;

  Batches(size_t length, size_t vocabulary) : tokens(length), positions(length), targets(length) {
    std::mt19937 generator(1);
    for (uint32_t& token : tokens) token = uint32_t(generator() % vocabulary);
    std::iota(positions.begin(), positions.end(), 0U);
    for (size_t i = 0; i < length; i++) targets[i] = i + 1 < length ? int32_t(tokens[i + 1]) : kIgnoredTarget;
    segments = {0, uint32_t(length)};
  }
  Batch view() const { return {tokens, positions, targets, segments}; }
};

struct Measured {
  double seconds, product_flops;
};

/// The best of some passes, and of products before and after each: others use the machine, too.
Measured measure(Decoder& decoder, const Batches& batch, WeightSource& weights, GradientSink& gradients,
                 size_t threads) {
  const std::vector<float> a(kProductSize * kProductSize, 0.5F), b = a;
  std::vector<float> c = a;
  Measured best{1e9, 0};
  const auto multiply = [&] {
    for (int i = 0; i < 5; i++)
      best.product_flops = std::max(best.product_flops, product_flops(threads, a, b, c));
  };
  for (int repeat = 0; repeat < kRepeats; repeat++) {
    multiply();
    best.seconds = std::min(
        best.seconds, seconds_of([&] { decoder.forward_backward(batch.view(), 1e-3F, weights, gradients); }));
  }
  multiply();
  return best;
}

std::string bench(const ModelConfig& config, size_t threads, size_t length, Recompute recompute) {
  const ParameterLayout layout = parameter_layout(config);
  Blocks weights, gradients;
  std::mt19937 generator(2);
  std::normal_distribution<float> normal(0, 0.02F);
  for (const size_t floats : layout.block_floats) {
    weights.emplace_back(floats);
    gradients.emplace_back(floats);
    for (float& weight : weights.back()) weight = normal(generator);
  }
  const auto backend = make_cpu_backend(threads);
  Decoder decoder(config, *backend, {recompute, kLossChunk, length});
  ResidentWeights source(weights);
  ResidentGradients sink(gradients);
  const Batches batch(length, config.vocabulary_size);
  const Measured measured = measure(decoder, batch, source, sink, threads);
  const double flops = model_flops(config, batch.segments, length - 1) / measured.seconds;
  const size_t parameters =
      std::accumulate(layout.parameters.begin(), layout.parameters.end(), size_t{0},
                      [](size_t sum, const Parameter& parameter) { return sum + parameter.elements(); });
  constexpr const char* kNames[] = {"none", "selective", "full"};
  char row[512];
  std::snprintf(row, sizeof row,
                R"({"parameters":%zu,"threads":%zu,"sequenceLength":%zu,"recompute":"%s",)"
                R"("tokensPerSecond":%.1f,"flops":%.4g,"sgemmFlops":%.4g,"fraction":%.3f})",
                parameters, threads, length, kNames[size_t(recompute)], double(length) / measured.seconds,
                flops, measured.product_flops, flops / measured.product_flops);
  return row;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t threads = argc > 1 ? size_t(std::strtoul(argv[1], nullptr, 10))
                                  : std::max(1U, std::thread::hardware_concurrency());
  std::vector<size_t> lengths;
  for (int i = 2; i < argc; i++) lengths.push_back(size_t(std::strtoul(argv[i], nullptr, 10)));
  if (lengths.empty()) lengths = {256, 1024, 4096, 8192};
  const char* separator = "[";
  for (const size_t length : lengths)
    for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
      std::printf("%s%s", separator, bench(model_of_25_million(), threads, length, recompute).c_str());
      std::fflush(stdout);
      separator = ",\n ";
    }
  std::printf("]\n");
}
