#include "sft/model/decoder.h"

#include <doctest/doctest.h>

#include "../error_code.h"
#include "sft/model/rope.h"
#include "slow_decoder.h"
#include "tiny_model.h"

namespace branchmerge::sft {
namespace {

constexpr Family kFamilies[] = {Family::kQwen2, Family::kLlama, Family::kQwen3};

/// The slow decoder with the frequencies that the fast one uses; rope_test.cc checks these.
SlowDecoder slow_decoder(const ModelConfig& config, const OwnedBatch& batch) {
  std::vector<Doubles> frequencies;
  for (size_t segment = 0; segment + 1 < batch.segments.size(); segment++) {
    const auto begin = batch.positions.begin() + batch.segments[segment];
    const auto end = batch.positions.begin() + batch.segments[segment + 1];
    frequencies.push_back(
        to_doubles(inverse_frequencies(config.rope, config.head_dim, *std::max_element(begin, end) + 1)));
  }
  return {config, frequencies, config.rope.attention_factor};
}

/// Every element of every parameter's gradient against central differences of the slow decoder.
void check_gradients(const ModelConfig& config, const OwnedBatch& batch, const PassOptions& options) {
  const ParameterLayout layout = parameter_layout(config);
  const Blocks weights = random_blocks(layout, 7);
  const PassResult fast = run_pass(config, weights, batch, 1, options);
  const SlowDecoder slow = slow_decoder(config, batch);
  std::vector<Doubles> exact;
  for (const Floats& block : weights) exact.push_back(to_doubles(block));
  CHECK(fast.loss == doctest::Approx(slow.loss_sum(batch.view(), exact)).epsilon(1e-6));
  for (const Parameter& parameter : layout.parameters) {
    Doubles& block = exact[parameter.block];
    const auto begin = block.begin() + ptrdiff_t(parameter.offset);
    const auto loss_at = [&](const Doubles& values) {
      std::copy(values.begin(), values.end(), begin);
      return slow.loss_sum(batch.view(), exact);
    };
    const Doubles values(begin, begin + ptrdiff_t(parameter.elements()));
    const Doubles expected = numeric_gradient(values, loss_at);
    std::copy(values.begin(), values.end(), begin);
    check_close(parameter_of(fast.gradients, parameter), expected, parameter.name);
  }
}

TEST_CASE("every gradient of the three families agrees with finite differences") {
  for (const Family family : kFamilies) check_gradients(tiny_config(family), documents({4, 1, 5}, 11, 1), {});
}

TEST_CASE("so it does with biases everywhere, one key head, and heads as wide as they like") {
  ModelConfig config = tiny_config(Family::kLlama);
  config.qkv_bias = config.output_bias = config.mlp_bias = true;
  config.tied = false;
  config.key_value_heads = 1;
  config.heads = 3;
  config.head_dim = 6;
  config.hidden_size = 5;
  config.layers = 1;
  check_gradients(config, documents({3, 4}, 11, 2), {Recompute::kSelective, 2, 3});
}

TEST_CASE("so it does with scaled rotary embeddings") {
  ModelConfig config = tiny_config(Family::kLlama);
  config.layers = 1;
  config.head_dim = 8;
  config.heads = config.key_value_heads = 2;
  for (const RopeType type : {RopeType::kLinear, RopeType::kDynamic, RopeType::kYarn, RopeType::kLlama3}) {
    config.rope.type = type;
    config.rope.theta = 50;
    config.rope.factor = 4;
    config.rope.original_max_positions = 5;
    config.rope.beta_fast = 1;
    config.rope.beta_slow = 0.1;
    config.rope.attention_factor = type == RopeType::kYarn ? 1.2 : 1;
    check_gradients(config, documents({4, 7}, 11, 3), {Recompute::kFull});
  }
}

TEST_CASE("so it does for one document over a whole pack (packing without isolation), and for one token") {
  OwnedBatch pack = documents({6, 4}, 11, 4);
  pack.segments = {0, 10};
  for (uint32_t i = 0; i < 10; i++) pack.positions[i] = i;
  check_gradients(tiny_config(Family::kQwen3), pack, {});
  const OwnedBatch token{{3}, {0}, {0, 1}, {5}};
  check_gradients(tiny_config(Family::kQwen2), token, {});
}

TEST_CASE("recomputation changes no byte") {
  for (const Family family : kFamilies) {
    const ModelConfig config = tiny_config(family);
    const Blocks weights = random_blocks(parameter_layout(config), 8);
    const OwnedBatch batch = documents({9, 70, 2}, 11, 5);
    const PassResult kept = run_pass(config, weights, batch, 0.5F, {Recompute::kNone, 2});
    for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull}) {
      const PassResult again = run_pass(config, weights, batch, 0.5F, {recompute, 2});
      CHECK(again.loss == kept.loss);
      CHECK(again.gradients == kept.gradients);
    }
  }
}

TEST_CASE("the same number of threads gives the same bytes, another the same result") {
  ModelConfig config = tiny_config(Family::kQwen3);
  config.hidden_size = 96;
  config.intermediate_size = 200;
  config.vocabulary_size = 500;
  config.head_dim = 32;
  const ParameterLayout layout = parameter_layout(config);
  const Blocks weights = random_blocks(layout, 9);
  const OwnedBatch batch = documents({130, 64, 77}, 500, 6);
  const PassResult one = run_pass(config, weights, batch, 0.01F, {Recompute::kNone, 1, 64});
  CHECK(run_pass(config, weights, batch, 0.01F, {Recompute::kNone, 1, 64}).gradients == one.gradients);
  const PassResult two = run_pass(config, weights, batch, 0.01F, {Recompute::kNone, 2, 64});
  for (int repeat = 0; repeat < 3; repeat++) {
    const PassResult again = run_pass(config, weights, batch, 0.01F, {Recompute::kNone, 2, 64});
    CHECK(again.loss == two.loss);
    CHECK(again.gradients == two.gradients);
  }
  CHECK(two.loss == doctest::Approx(one.loss).epsilon(1e-6));
  for (const Parameter& parameter : layout.parameters)
    check_close(parameter_of(two.gradients, parameter), to_doubles(parameter_of(one.gradients, parameter)),
                parameter.name);
}

TEST_CASE("packed documents that are isolated give what they give alone; without isolation they do not") {
  for (const Family family : kFamilies) {
    ModelConfig config = tiny_config(family);
    config.rope.type = RopeType::kDynamic;  // by document, too
    config.rope.factor = 2;
    config.rope.original_max_positions = 6;
    const ParameterLayout layout = parameter_layout(config);
    const Blocks weights = random_blocks(layout, 10);
    const std::vector<uint32_t> lengths = {5, 1, 66, 3};
    const OwnedBatch neat = documents(lengths, 11, 7);
    const PassResult packed = run_pass(config, weights, neat, 1);

    double loss = 0;
    std::vector<Doubles> sums;
    for (const size_t floats : layout.block_floats) sums.emplace_back(floats);
    for (size_t document = 0; document < lengths.size(); document++) {
      const size_t begin = neat.segments[document], end = neat.segments[document + 1];
      OwnedBatch alone{{neat.tokens.begin() + ptrdiff_t(begin), neat.tokens.begin() + ptrdiff_t(end)},
                       {neat.positions.begin() + ptrdiff_t(begin), neat.positions.begin() + ptrdiff_t(end)},
                       {0, uint32_t(end - begin)},
                       {neat.targets.begin() + ptrdiff_t(begin), neat.targets.begin() + ptrdiff_t(end)}};
      const PassResult part = run_pass(config, weights, alone, 1);
      loss += part.loss;
      for (size_t block = 0; block < sums.size(); block++)
        for (size_t i = 0; i < sums[block].size(); i++) sums[block][i] += double(part.gradients[block][i]);
    }
    CHECK(packed.loss == doctest::Approx(loss).epsilon(1e-6));
    for (size_t block = 0; block < sums.size(); block++)
      check_close(packed.gradients[block], sums[block], "block");

    OwnedBatch plain = neat;
    plain.segments = {0, uint32_t(neat.tokens.size())};
    CHECK(std::fabs(run_pass(config, weights, plain, 1).loss - packed.loss) > 1e-3);
  }
}

TEST_CASE("where a document's positions begin does not matter: rotary embeddings see differences") {
  const ModelConfig config = tiny_config(Family::kLlama);
  const Blocks weights = random_blocks(parameter_layout(config), 11);
  const OwnedBatch batch = documents({8, 12}, 11, 8);
  OwnedBatch through = batch;
  for (uint32_t i = 0; i < 20; i++) through.positions[i] = i;
  CHECK(run_loss(config, weights, through) ==
        doctest::Approx(run_loss(config, weights, batch)).epsilon(1e-5));
}

TEST_CASE("what a document begins with does not reach the one before it") {
  const ModelConfig config = tiny_config(Family::kQwen2);
  const Blocks weights = random_blocks(parameter_layout(config), 12);
  OwnedBatch batch = documents({6, 5}, 11, 9);
  std::fill(batch.targets.begin() + 6, batch.targets.end(), kIgnoredTarget);
  const double loss = run_loss(config, weights, batch);
  batch.tokens[6] = (batch.tokens[6] + 1) % 11;
  CHECK(run_loss(config, weights, batch) == loss);
}

TEST_CASE("a batch without a trained target has no loss and no gradient, and makes the same calls") {
  for (const bool tied : {true, false}) {
    ModelConfig config = tiny_config(Family::kQwen3);
    config.tied = tied;
    const ParameterLayout layout = parameter_layout(config);
    const Blocks weights = random_blocks(layout, 13);
    const OwnedBatch batch = documents({4, 4}, 11, 10);
    OwnedBatch ignored = batch;
    ignored.targets.assign(8, kIgnoredTarget);
    const PassResult nothing = run_pass(config, weights, ignored, 1);
    CHECK(nothing.loss == 0);
    for (size_t block = 0; block < layout.block_floats.size(); block++)
      for (const float value : nothing.gradients[block]) CHECK(value == 0);
    CHECK(run_loss(config, weights, ignored) == 0);
    for (const OwnedBatch& other : {batch, documents({1}, 11, 11)}) {
      const bool same_calls =
          run_pass(config, weights, other, 1, {Recompute::kNone, 1, 1, 8}).calls == nothing.calls;
      CHECK(same_calls);
    }
  }
}

TEST_CASE("gradients go with the scale of the loss, and are added to what is there") {
  const ModelConfig config = tiny_config(Family::kLlama);
  const ParameterLayout layout = parameter_layout(config);
  const Blocks weights = random_blocks(layout, 14);
  const OwnedBatch batch = documents({7, 6}, 11, 12);
  const PassResult whole = run_pass(config, weights, batch, 1), half = run_pass(config, weights, batch, 0.5F);
  CHECK(whole.loss == half.loss);
  for (size_t block = 0; block < layout.block_floats.size(); block++)
    for (size_t i = 0; i < layout.block_floats[block]; i++)
      CHECK(half.gradients[block][i] == whole.gradients[block][i] / 2);

  const auto backend = make_cpu_backend(1);
  Decoder decoder(config, *backend, {Recompute::kNone, 4, 13});
  Blocks sums = zero_blocks(layout);
  for (int pass = 0; pass < 2; pass++) {
    std::vector<BlockCall> calls;
    LentWeights source(weights, calls);
    GatheredGradients sink(sums, calls);
    decoder.forward_backward(batch.view(), 0.5F, source, sink);
  }
  for (const Parameter& parameter : layout.parameters)
    check_close(parameter_of(sums, parameter), to_doubles(parameter_of(whole.gradients, parameter)),
                parameter.name);
}

TEST_CASE("padding between parameters gets no gradient") {
  const ModelConfig config = tiny_config(Family::kQwen2);
  const ParameterLayout layout = parameter_layout(config);
  PassResult result = run_pass(config, random_blocks(layout, 15), documents({7, 6}, 11, 13), 1);
  for (const Parameter& parameter : layout.parameters)
    std::fill_n(result.gradients[parameter.block].begin() + ptrdiff_t(parameter.offset), parameter.elements(),
                0.0F);
  CHECK(result.gradients == zero_blocks(layout));
}

TEST_CASE("the loss alone is that of the whole pass, whatever the chunks of the head") {
  for (const Family family : kFamilies) {
    const ModelConfig config = tiny_config(family);
    const Blocks weights = random_blocks(parameter_layout(config), 16);
    const OwnedBatch batch = documents({13, 6, 9}, 11, 14);
    const PassResult pass = run_pass(config, weights, batch, 1, {Recompute::kNone, 1, 1});
    for (const size_t chunk : {2, 5, 17, 1000}) {
      const PassOptions options{Recompute::kFull, 1, chunk};
      CHECK(run_loss(config, weights, batch, options) == doctest::Approx(pass.loss).epsilon(1e-6));
      const PassResult chunked = run_pass(config, weights, batch, 1, options);
      for (size_t block = 0; block < pass.gradients.size(); block++)
        check_close(chunked.gradients[block], to_doubles(pass.gradients[block]), "block");
    }
  }
}

TEST_CASE("a decoder takes batches of different sizes one after the other") {
  const ModelConfig config = tiny_config(Family::kQwen3);
  const Blocks weights = random_blocks(parameter_layout(config), 17);
  const auto backend = make_cpu_backend(1);
  Decoder decoder(config, *backend, {Recompute::kSelective, 4, 80});
  for (const OwnedBatch& batch :
       {documents({70, 10}, 11, 15), documents({2}, 11, 16), documents({33, 1}, 11, 17)}) {
    std::vector<BlockCall> calls;
    LentWeights source(weights, calls);
    CHECK(decoder.loss_sum(batch.view(), source) ==
          run_loss(config, weights, batch, {Recompute::kSelective}));
  }
}

TEST_CASE("a loss that is not finite is reported as it is") {
  const ModelConfig config = tiny_config(Family::kQwen2);
  Blocks weights = random_blocks(parameter_layout(config), 18);
  weights[1][0] = std::nanf("");
  CHECK_FALSE(std::isfinite(run_pass(config, weights, documents({5}, 11, 18), 1).loss));
}

TEST_CASE("batches that are none") {
  const ModelConfig config = tiny_config(Family::kQwen2);
  const Blocks weights = random_blocks(parameter_layout(config), 19);
  const auto code_of = [&](const OwnedBatch& batch) {
    return error_code([&] { run_pass(config, weights, batch, 1, {Recompute::kNone, 1, 4, 10}); });
  };
  const OwnedBatch good = documents({4, 3}, 11, 19);
  CHECK(code_of(good) == "");
  OwnedBatch bad = good;
  bad.tokens[2] = 11;
  CHECK(code_of(bad) == "ERR_INVALID_ARGUMENT");
  for (const int32_t target : {11, -1, -101}) {
    bad = good;
    bad.targets[1] = target;
    CHECK(code_of(bad) == "ERR_INVALID_ARGUMENT");
  }
  for (const std::vector<uint32_t>& segments :
       {std::vector<uint32_t>{}, {0}, {1, 7}, {0, 6}, {0, 8}, {0, 4, 4, 7}, {0, 5, 4, 7}}) {
    bad = good;
    bad.segments = segments;
    CHECK(code_of(bad) == "ERR_INVALID_ARGUMENT");
  }
  bad = good;
  bad.positions.pop_back();
  CHECK(code_of(bad) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of(documents({11}, 11, 20)) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of(OwnedBatch{{}, {}, {0, 0}, {}}) == "ERR_INVALID_ARGUMENT");
}

/// By the list of what each mode keeps (docs/sft-model.md), but for the rounding of each buffer to 64 bytes.
TEST_CASE("the workspace is what the documentation says") {
  ModelConfig config = tiny_config(Family::kQwen3);
  config.layers = 7;
  config.hidden_size = 64;
  config.intermediate_size = 160;
  config.head_dim = 16;
  const auto backend = make_cpu_backend(2);
  constexpr double kTokens = 1024, kChunk = 128;
  const double hidden = 64, inner = 160, queries = 64, keys = 32, heads = 4, key_heads = 2;
  const double cheap = 2 * hidden + inner;
  const double costly = (queries + keys) + (heads + key_heads) + (queries + 2 * keys) + queries + heads +
                        hidden + 2 * inner + 2;
  const double scratch = double(backend->attention_scratch_bytes(1024, 4, 2, 16)) / sizeof(float);
  const double rest = kTokens * (2 * hidden + queries + (queries + 2 * keys) + 16 + 8) + scratch +
                      kChunk * (2 * hidden + 1 + 11);
  const auto bytes = [&](Recompute recompute) {
    return double(Decoder::workspace_bytes(config, *backend, {recompute, 128, 1024}));
  };
  const auto near = [](double expected) { return doctest::Approx(4 * expected).epsilon(1e-3); };
  CHECK(bytes(Recompute::kNone) == near(7 * kTokens * (hidden + cheap + costly) + rest));
  CHECK(bytes(Recompute::kSelective) == near(kTokens * (7 * (hidden + costly) + cheap) + rest));
  CHECK(bytes(Recompute::kFull) == near(kTokens * (7 * hidden + cheap + costly) + rest));
}

}  // namespace
}  // namespace branchmerge::sft
