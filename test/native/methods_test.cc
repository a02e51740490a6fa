// The methods over random tensors: every number of workers, and every way to ask for the result, gives the
// same bytes. What the bytes should be is checked from JavaScript (test/methods) on small tensors; here the
// sanitizers watch, on buffers without a byte to spare, and tensors are larger than a block.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <numeric>
#include <random>

#include "error_code.h"
#include "memory_operand.h"
#include "methods/magnitude_ranks.h"
#include "methods/method.h"
#include "methods/random_numbers.h"
#include "methods/trigonometry.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

struct Setting {
  const char* method;
  size_t operands;  // the base among them
  MethodParameters parameters;
};

/// With three inputs, or two where there cannot be more.
std::vector<Setting> all_settings() {
  const MethodParameters task{{"weight", {0.7, 0.5, -0.2}},
                              {"normalize", {1}},
                              {"rescale", {1}},
                              {"lambda", {0.9}},
                              {"density", {0.5, 0.2, 0.8}},
                              {"gamma", {0.01, 0, 0.1}},
                              {"epsilon", {0.1, 0.15, 0.05}},
                              {"seed", {42}}};
  std::vector<Setting> settings{
      {"linear", 3, {{"weight", {0.2, 0.5, 0.4}}, {"normalize", {1}}}},
      {"slerp", 2, {{"t", {0.3}}}},
      {"nuslerp", 2, {{"weight", {1, 2}}, {"flatten", {1}}, {"rowWise", {0}}}},
      {"nuslerp", 3, {{"weight", {1, 2}}, {"flatten", {0}}, {"rowWise", {0}}}},
      {"nuslerp", 3, {{"weight", {3, -1}}, {"flatten", {0}}, {"rowWise", {1}}}},
      // Weights of which no signs cancel: tensors of one element have nothing but a sign.
      {"multislerp", 3, {{"weight", {1, 2, 4}}, {"normalizeWeights", {1}}, {"epsilon", {1e-8}}}},
      {"multislerp", 4, {{"weight", {1, 2, 4}}, {"normalizeWeights", {0}}, {"epsilon", {0}}}},
      {"karcher", 3, {{"maxIterations", {10}}, {"tolerance", {1e-5}}}},
      {"model_stock", 4, {{"filterWise", {0}}}},
      {"model_stock", 4, {{"filterWise", {1}}}},
      {"sce", 4, {{"selectTopk", {0.3}}}},
      {"sce", 4, {{"selectTopk", {1}}}},
      {"nearswap", 2, {{"t", {1e-3}}}},
      {"ram", 4, {{"epsilon", {1e-5}}}},
      {"passthrough", 1, {{"scale", {-0.7}}}},
  };
  for (const char* method : {"task_arithmetic", "ties", "dare_linear", "dare_ties", "della", "della_linear",
                             "breadcrumbs", "breadcrumbs_ties"})
    settings.push_back({method, 4, task});
  return settings;
}

OperandInfo info_of(DType dtype, const std::vector<uint64_t>& shape) {
  return {"w", dtype, shape, std::accumulate(shape.begin(), shape.end(), uint64_t(1), std::multiplies<>())};
}

/// One tensor of several models.
class Tensors {
 public:
  Tensors(const OperandInfo& info, size_t operands, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    const size_t size = dtype_bits(info.dtype) / 8;
    for (size_t m = 0; m < operands; m++) buffers_.emplace_back(info.elements * size);
    for (size_t i = 0; i < info.elements; i++) {
      const double base = 0.02 * normal(random);
      for (const TightBuffer& buffer : buffers_) {
        const double value = random() % 3 ? base + 1e-3 * normal(random) : base;
        (void)round_to_dtype(&value, info.dtype, buffer.data() + i * size, 1);
      }
    }
    for (const TightBuffer& buffer : buffers_) readers_.push_back(&memories_.emplace_back(buffer.data()));
  }
  std::byte* operator[](size_t operand) { return buffers_[operand].data(); }
  const std::vector<TensorReader*>& readers() const { return readers_; }

 private:
  std::vector<TightBuffer> buffers_;
  std::deque<Memory> memories_;
  std::vector<TensorReader*> readers_;
};

/// `stretch` elements are asked of the result at a time.
std::vector<std::byte> merge(const Setting& setting, const OperandInfo& info, DType output,
                             const Tensors& tensors, size_t workers, uint64_t stretch) {
  WorkerPool pool(workers);
  const std::unique_ptr<TensorOperator> method =
      find_method(setting.method)(info, output, setting.operands, setting.parameters);
  method->prepare(tensors.readers(), pool);
  const uint64_t n = info.elements, size = dtype_bits(output) / 8;
  const TightBuffer out(n * size);
  pool.for_each((n + stretch - 1) / stretch, [&](size_t worker, size_t i) {
    const uint64_t begin = i * stretch, end = std::min(n, begin + stretch);
    method->apply(worker, begin, end, tensors.readers(), out.data() + begin * size);
  });
  return {out.data(), out.data() + out.size()};
}

void check_same_everywhere(const Setting& setting, const OperandInfo& info, DType output, uint64_t seed) {
  CAPTURE(setting.method);
  CAPTURE(info.elements);
  const Tensors tensors(info, setting.operands, seed);
  const std::vector<std::byte> expected = merge(setting, info, output, tensors, 1, 1 << 20);
  CHECK(merge(setting, info, output, tensors, 2, 9'999) == expected);
  CHECK(merge(setting, info, output, tensors, 7, info.elements < 1000 ? 1 : 70'001) == expected);
}

TEST_CASE("every method: the bits do not depend on workers or the stretches that are asked for") {
  uint64_t seed = 1;
  for (const Setting& setting : all_settings())
    for (const DType dtype : {DType::BF16, DType::F16, DType::F32, DType::F64})
      for (const std::vector<uint64_t>& shape : std::vector<std::vector<uint64_t>>{
               {}, {0}, {5, 0}, {0, 5}, {1}, {31}, {31, 1}, {1, 31}, {7, 33}, {3, 5, 64}}) {
        seed++;
        check_same_everywhere(setting, info_of(dtype, shape), seed % 3 ? dtype : DType::F32, seed);
      }
}

TEST_CASE("every method: tensors larger than a block, rows and columns longer than one") {
  uint64_t seed = 1000;
  for (const Setting& setting : all_settings())
    for (const auto& [dtype, shape] :
         std::vector<std::pair<DType, std::vector<uint64_t>>>{{DType::BF16, {131'073}},
                                                              {DType::F64, {131'073}},
                                                              {DType::BF16, {3, 43'691}},
                                                              {DType::F32, {2, 131'075}},
                                                              {DType::F16, {43'691, 3}}})
      check_same_everywhere(setting, info_of(dtype, shape), dtype, seed++);
}

TEST_CASE("NaN and infinity are refused, the first of the tensor by name") {
  const OperandInfo info = info_of(DType::BF16, {2, 100'000});
  for (const Setting& setting : all_settings()) {
    CAPTURE(setting.method);
    Tensors tensors(info, setting.operands, 9);
    const uint16_t infinity = 0xff80, nan = 0x7fc1;
    const size_t last = setting.operands - 1;
    std::memcpy(tensors[last] + 2 * 150'000, &nan, 2);
    std::memcpy(tensors[last] + 2 * 77'777, &infinity, 2);
    std::memcpy(tensors[0] + 2 * 199'999, &nan, 2);
    for (const size_t workers : {1, 3}) {
      const auto run = [&] { merge(setting, info, DType::BF16, tensors, workers, 1 << 16); };
      CHECK(error_code(run) == "ERR_NON_FINITE");
      const std::string message = error_message(run);
      CHECK(message.find("holds -Infinity at element 77777") != std::string::npos);
      CHECK(message.find("Tensor 'w' of input") != std::string::npos);
    }
  }
  Tensors tensors(info, 2, 9);
  const uint16_t nan = 0x7fc1;
  std::memcpy(tensors[0] + 2 * 5, &nan, 2);
  const Setting arithmetic{"task_arithmetic", 2, {{"weight", {1}}, {"normalize", {0}}, {"lambda", {1}}}};
  CHECK(error_message([&] {
          merge(arithmetic, info, DType::BF16, tensors, 1, 1000);
        }).find("of the base holds NaN at element 5") != std::string::npos);
}

TEST_CASE("a result that the output dtype cannot hold is refused") {
  const OperandInfo info = info_of(DType::F32, {100});
  Tensors tensors(info, 1, 3);
  const float large = 1e6;
  std::memcpy(tensors[0] + 4 * 42, &large, 4);
  const Setting same{"passthrough", 1, {{"scale", {1}}}};
  const auto run = [&] { merge(same, info, DType::F16, tensors, 2, 10); };
  CHECK(error_code(run) == "ERR_NON_FINITE");
  CHECK(error_message(run).find("element 42 is 1000000, which does not fit F16") != std::string::npos);
}

TEST_CASE("operands and parameters that a method does not take are refused") {
  const OperandInfo info = info_of(DType::F32, {1});
  for (const Setting& setting : all_settings()) {
    const auto make = [&](size_t operands, const MethodParameters& parameters) {
      return error_code([&] { find_method(setting.method)(info, DType::F32, operands, parameters); });
    };
    CHECK(make(0, setting.parameters) == "ERR_INVALID_ARGUMENT");
    if (std::string(setting.method) != "ram") CHECK(make(setting.operands, {}) == "ERR_INVALID_ARGUMENT");
  }
  CHECK((find_method("fuse") == nullptr));
  CHECK((find_method("") == nullptr));
}

TEST_CASE("float64 values whose squares are none keep their angle") {
  // Two orthogonal vectors of very different lengths: sin(π/4) of each.
  for (const auto& [first, second] :
       {std::pair(1e200, 1e-200), std::pair(1e-300, 1e300), std::pair(1e-320, 1.0)}) {
    const OperandInfo info = info_of(DType::F64, {2});
    Tensors tensors(info, 2, 1);
    const double x[] = {first, 0}, y[] = {0, second};
    std::memcpy(tensors[0], x, 16);
    std::memcpy(tensors[1], y, 16);
    const std::vector<std::byte> bytes = merge({"slerp", 2, {{"t", {0.5}}}}, info, DType::F64, tensors, 1, 2);
    double result[2];
    std::memcpy(result, bytes.data(), 16);
    CHECK(result[0] == doctest::Approx(first * std::sqrt(0.5)).epsilon(first < 1e-300 ? 1e-3 : 1e-14));
    CHECK(result[1] == doctest::Approx(second * std::sqrt(0.5)).epsilon(1e-14));
  }
}

/// The elements that della keeps, by its page: 1 where the difference is kept.
std::vector<bool> della_mask(const std::vector<float>& differences, uint64_t row_length, double density,
                             double epsilon, const RandomNumbers& random) {
  std::vector<bool> kept(differences.size());
  for (uint64_t row = 0; row < differences.size(); row += row_length) {
    std::vector<uint64_t> order(row_length);
    std::iota(order.begin(), order.end(), row);
    std::stable_sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) {
      return std::fabs(differences[a]) < std::fabs(differences[b]);
    });
    for (uint64_t r = 0; r < row_length; r++)
      kept[order[r]] =
          random(order[r]) < (density - epsilon) + (2 * epsilon) * (double(r) / double(row_length - 1));
  }
  return kept;
}

TEST_CASE("della ranks rows of any length") {
  for (const std::vector<uint64_t>& shape :
       std::vector<std::vector<uint64_t>>{{300, 500}, {40'000, 5}, {2, 140'000}}) {
    const OperandInfo info = info_of(DType::F32, shape);
    Tensors tensors(info, 2, 8);
    const Setting della{"della",
                        2,
                        {{"weight", {1}},
                         {"density", {0.5}},
                         {"epsilon", {0.4}},
                         {"normalize", {0}},
                         {"rescale", {0}},
                         {"lambda", {1}},
                         {"seed", {7}}}};
    const std::vector<std::byte> bytes = merge(della, info, DType::F32, tensors, 2, 12'345);
    std::vector<float> base(info.elements), input(info.elements), result(info.elements),
        differences(info.elements);
    std::memcpy(base.data(), tensors[0], 4 * info.elements);
    std::memcpy(input.data(), tensors[1], 4 * info.elements);
    std::memcpy(result.data(), bytes.data(), 4 * info.elements);
    for (size_t i = 0; i < info.elements; i++) differences[i] = input[i] - base[i];
    const std::vector<bool> kept = della_mask(differences, shape.back(), 0.5, 0.4, RandomNumbers(7, "w", 0));
    size_t wrong = 0;
    for (size_t i = 0; i < info.elements; i++)
      wrong += result[i] != (kept[i] ? float(double(base[i]) + double(differences[i])) : base[i]);
    CHECK(wrong == 0);
  }
}

TEST_CASE("ranks of magnitudes are exact over many blocks") {
  for (const DType dtype : {DType::BF16, DType::F64}) {
    const OperandInfo info = info_of(dtype, {300'001});
    const Tensors tensors(info, 2, 6);
    WorkerPool pool(3);
    OperandTiles tiles(info, 2, Base::kSubtracted);
    tiles.give_scratch(3);
    Passes passes(tiles, tensors.readers(), pool);
    std::vector<double> all;
    for (uint64_t begin = 0; begin < info.elements; begin += kBlock)
      passes.read(0, begin, std::min(info.elements, begin + kBlock), [&](const Tile& tile) {
        for (size_t i = 0; i < tile.size; i++) all.push_back(std::fabs(tile.inputs[0][i]));
      });
    std::sort(all.begin(), all.end());
    for (const uint64_t rank : {0, 1, 99'999, 150'000, 299'999, 300'000}) {
      const std::vector<double> found = magnitudes_at_ranks(
          passes, {rank, 300'000}, tiles.single(), [](size_t, const Tile& tile) { return tile.inputs[0]; });
      CHECK(found == std::vector<double>{all[rank], all.back()});
    }
  }
}

TEST_CASE("random numbers are those of docs/methods/README.md") {
  CHECK(RandomNumbers(0, "", 0)(0) == 0.8581533010130556);
  CHECK(RandomNumbers(42, "model.layers.0.self_attn.q_proj.weight", 1)(12'345) == 0.13224369566730698);
  CHECK(RandomNumbers(4294967295, "lm_head.weight", 2)(4294967296) == 0.5347446172740101);
}

TEST_CASE("functions of an angle are within 1e-15 of the exact value") {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> unit(-1, 1);
  long double sine_error = 0, cosine_error = 0, angle_error = 0;
  for (int i = 0; i < 200'000; i++) {
    const double x = unit(random) * std::ldexp(1, int(random() % 60) - 30), c = unit(random);
    sine_error = std::max(sine_error, std::fabs(sine(x) - std::sin((long double)x)));
    cosine_error = std::max(cosine_error, std::fabs(cosine(x) - std::cos((long double)x)));
    for (const double each : {c, std::copysign(1 - std::ldexp(std::fabs(c), -int(random() % 50)), c)})
      angle_error = std::max(angle_error, std::fabs(arc_cosine(each) - std::acos((long double)each)));
  }
  CHECK(sine_error < 2e-16);
  CHECK(cosine_error < 2e-16);
  CHECK(angle_error < 1e-15);
  CHECK(sine(0) == 0);
  CHECK(cosine(0) == 1);
  CHECK(arc_cosine(1) == 0);
  CHECK(arc_cosine(-1) == 0x1.921fb54442d18p+1);
  CHECK(arc_cosine(0) == 0x1.921fb54442d18p+0);
}

}  // namespace
}  // namespace branchmerge
