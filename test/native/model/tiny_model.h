#pragma once
// Weights, gradients and batches of small models for tests.
#include <doctest/doctest.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../ops/numbers.h"
#include "sft/model/decoder.h"
#include "sft/model/parameters.h"
#include "sft/ops/cpu/cpu_backend.h"

namespace branchmerge::sft {

using Blocks = std::vector<Floats>;

inline Blocks zero_blocks(const ParameterLayout& layout) {
  Blocks blocks;
  for (const size_t floats : layout.block_floats) blocks.emplace_back(floats);
  return blocks;
}

/// Norm weights around 1, the rest around 0; zeros between the parameters.
inline Blocks random_blocks(const ParameterLayout& layout, uint32_t seed) {
  Blocks blocks = zero_blocks(layout);
  for (const Parameter& parameter : layout.parameters) {
    const bool norm = parameter.name.find("norm") != std::string::npos;
    const Floats values = random_floats(parameter.elements(), seed++, norm ? 0.1F : 0.3F, norm ? 1.0F : 0.0F);
    std::copy(values.begin(), values.end(), blocks[parameter.block].begin() + ptrdiff_t(parameter.offset));
  }
  return blocks;
}

inline std::span<const float> parameter_of(const Blocks& blocks, const Parameter& parameter) {
  return std::span(blocks[parameter.block]).subspan(parameter.offset, parameter.elements());
}

/// One call of a source or a sink.
struct BlockCall {
  char what;  // 'w': weights, 'g': gradients; upper case for release
  size_t block;
  bool operator==(const BlockCall& other) const { return what == other.what && block == other.block; }
};

/// Weights that are there only between acquire and release: each time in new memory.
class LentWeights final : public WeightSource {
 public:
  LentWeights(const Blocks& blocks, std::vector<BlockCall>& calls) : blocks_(blocks), calls_(calls) {}

  const float* acquire(size_t block) override {
    calls_.push_back({'w', block});
    REQUIRE(lent_.count(block) == 0);
    auto copy = std::make_unique<float[]>(blocks_[block].size());
    std::copy(blocks_[block].begin(), blocks_[block].end(), copy.get());
    return (lent_[block] = std::move(copy)).get();
  }
  void release(size_t block) override {
    calls_.push_back({'W', block});
    REQUIRE(lent_.count(block) == 1);
    std::fill_n(lent_[block].get(), blocks_[block].size(), std::nanf(""));
    lent_.erase(block);
  }
  size_t held() const { return lent_.size(); }

 private:
  const Blocks& blocks_;
  std::vector<BlockCall>& calls_;
  std::map<size_t, std::unique_ptr<float[]>> lent_;
};

/// Gradients that arrive when their block is released, which must happen once.
class GatheredGradients final : public GradientSink {
 public:
  GatheredGradients(Blocks& blocks, std::vector<BlockCall>& calls) : blocks_(blocks), calls_(calls) {}

  float* acquire(size_t block) override {
    calls_.push_back({'g', block});
    REQUIRE(lent_.count(block) == 0);
    auto copy = std::make_unique<float[]>(blocks_[block].size());
    std::copy(blocks_[block].begin(), blocks_[block].end(), copy.get());
    return (lent_[block] = std::move(copy)).get();
  }
  void release(size_t block) override {
    calls_.push_back({'G', block});
    REQUIRE(lent_.count(block) == 1);
    REQUIRE(lent_[block] != nullptr);
    std::copy_n(lent_[block].get(), blocks_[block].size(), blocks_[block].begin());
    lent_[block] = nullptr;
  }
  size_t released() const { return lent_.size(); }

 private:
  Blocks& blocks_;
  std::vector<BlockCall>& calls_;
  std::map<size_t, std::unique_ptr<float[]>> lent_;  // null once released
};

/// A batch that owns its arrays.
struct OwnedBatch {
  std::vector<uint32_t> tokens, positions, segments;
  std::vector<int32_t> targets;

  Batch view() const { return {tokens, positions, targets, segments}; }

  /// The trained targets.
  size_t trained() const {
    return size_t(
        std::count_if(targets.begin(), targets.end(), [](int32_t t) { return t != kIgnoredTarget; }));
  }
};

/// Documents of random tokens, each a segment of its own, positions from 0 in each. All but the last token of
/// a document are trained to predict the next, but for every third.
inline OwnedBatch documents(const std::vector<uint32_t>& lengths, size_t vocabulary, uint32_t seed) {
  std::mt19937 generator(seed);
  OwnedBatch batch;
  batch.segments.push_back(0);
  for (const uint32_t length : lengths) {
    const size_t begin = batch.tokens.size();
    for (uint32_t i = 0; i < length; i++) {
      batch.tokens.push_back(uint32_t(generator() % vocabulary));
      batch.positions.push_back(i);
    }
    for (size_t i = begin; i < begin + length; i++)
      batch.targets.push_back(i + 1 < begin + length && i % 3 != 0 ? int32_t(batch.tokens[i + 1])
                                                                   : kIgnoredTarget);
    batch.segments.push_back(uint32_t(batch.tokens.size()));
  }
  return batch;
}

struct PassOptions {
  Recompute recompute = Recompute::kNone;
  size_t threads = 1, chunk = 4, max_tokens = 0;  // 0: as many as the batch has
};

/// What one forward and backward pass gives.
struct PassResult {
  double loss;
  Blocks gradients;
  std::vector<BlockCall> calls;
};

inline PassResult run_pass(const ModelConfig& config, const Blocks& weights, const OwnedBatch& batch,
                           float loss_scale, const PassOptions& options = {}) {
  const auto backend = make_cpu_backend(options.threads);
  const size_t max_tokens = options.max_tokens ? options.max_tokens : batch.tokens.size();
  Decoder decoder(config, *backend, {options.recompute, options.chunk, max_tokens});
  PassResult result{0, zero_blocks(parameter_layout(config)), {}};
  LentWeights source(weights, result.calls);
  GatheredGradients sink(result.gradients, result.calls);
  result.loss = decoder.forward_backward(batch.view(), loss_scale, source, sink);
  CHECK(source.held() == 0);
  CHECK(sink.released() == config.layers + 2);
  return result;
}

inline double run_loss(const ModelConfig& config, const Blocks& weights, const OwnedBatch& batch,
                       const PassOptions& options = {}) {
  const auto backend = make_cpu_backend(options.threads);
  Decoder decoder(config, *backend, {options.recompute, options.chunk, batch.tokens.size()});
  std::vector<BlockCall> calls;
  LentWeights source(weights, calls);
  const double loss = decoder.loss_sum(batch.view(), source);
  CHECK(source.held() == 0);
  return loss;
}

inline ModelConfig tiny_config(Family family) {
  ModelConfig config{};
  config.family = family;
  config.hidden_size = 8;
  config.intermediate_size = 10;
  config.layers = 2;
  config.heads = 4;
  config.key_value_heads = 2;
  config.head_dim = family == Family::kQwen3 ? 4 : 2;
  config.vocabulary_size = 11;
  config.rms_norm_epsilon = 1e-6F;
  config.tied = family != Family::kQwen2;
  config.qkv_bias = family == Family::kQwen2;
  config.qk_norm = family == Family::kQwen3;
  return config;
}

}  // namespace branchmerge::sft
