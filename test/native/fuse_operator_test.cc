// The engine over random tensors: every instruction set and number of workers gives the same bytes and
// figures. What they should be is checked from JavaScript (test/fusion); here the sanitizers watch, on
// buffers without a byte to spare.
#include "fusion/fuse_operator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <random>

#include "error_code.h"
#include "memory_operand.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

struct Case {
  DType dtype;
  std::vector<uint64_t> shape;
  double scale, difference;
  FusionOptions options;
};

uint64_t elements_of(const Case& c) {
  uint64_t n = 1;
  for (const uint64_t size : c.shape) n *= size;
  return n;
}

void make_pair(const Case& c, uint64_t seed, TightBuffer& left, TightBuffer& right) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const size_t size = dtype_bits(c.dtype) / 8;
  for (size_t i = 0; i < elements_of(c); i++) {
    const double x = c.scale * normal(random), y = random() % 4 ? x + c.difference * normal(random) : x;
    (void)round_to_dtype(&x, c.dtype, left.data() + i * size, 1);
    (void)round_to_dtype(&y, c.dtype, right.data() + i * size, 1);
  }
}

struct Outcome {
  std::vector<std::byte> bytes;
  TensorStats stats;
  uint64_t kept;
  bool operator==(const Outcome& other) const {
    const auto figures = [](const TensorStats& s) {
      return std::vector<double>{s.threshold, s.q1, s.median, s.q3, s.kl_min, s.kl_median, s.kl_max};
    };
    return bytes == other.bytes && kept == other.kept && figures(stats) == figures(other.stats) &&
           stats.degenerate == other.stats.degenerate && stats.identical == other.stats.identical;
  }
};

/// `stretch` elements are asked of the result at a time.
Outcome fuse(const Case& c, const TightBuffer& left, const TightBuffer& right, const char* set,
             size_t workers, uint64_t stretch) {
  WorkerPool pool(workers);
  FusionScratch scratch;
  FuseOperator merge({"w", c.dtype, c.shape, elements_of(c)}, c.dtype, c.options, *cpu::instruction_set(set),
                     scratch);
  Memory left_reader(left.data()), right_reader(right.data());
  const std::vector<TensorReader*> operands{&left_reader, &right_reader};
  merge.prepare(operands, pool);
  const TightBuffer out(left.size());
  const uint64_t n = elements_of(c), size = dtype_bits(c.dtype) / 8;
  std::atomic<uint64_t> kept{0};
  pool.for_each((n + stretch - 1) / stretch, [&](size_t worker, size_t i) {
    const uint64_t begin = i * stretch, end = std::min(n, begin + stretch);
    kept += merge.apply(worker, begin, end, operands, out.data() + begin * size);
  });
  return {{out.data(), out.data() + out.size()}, merge.stats(), kept};
}

void check_same_everywhere(const Case& c, uint64_t seed) {
  const size_t size = elements_of(c) * dtype_bits(c.dtype) / 8;
  TightBuffer left(size), right(size);
  make_pair(c, seed, left, right);
  const Outcome expected = fuse(c, left, right, "scalar", 1, 1000);
  for (const char* set : {"scalar", "avx2", "avx512"}) {
    if (cpu::instruction_set(set) == nullptr) continue;
    for (const size_t workers : {1, 2, 7}) CHECK(fuse(c, left, right, set, workers, 7 * workers) == expected);
  }
}

TEST_CASE("the bits do not depend on instruction set, workers or the stretches that are asked for") {
  uint64_t seed = 1;
  for (const DType dtype : {DType::BF16, DType::F16, DType::F32, DType::F64})
    for (const std::vector<uint64_t>& shape : std::vector<std::vector<uint64_t>>{
             {}, {1}, {31}, {33, 1}, {7, 33}, {3, 5, 64}, {5, 1025}, {1, 4097}})
      for (const double difference : {1e-5, 1e-3, 0.3, 30.0})
        check_same_everywhere({dtype, shape, 0.02, difference, {}}, seed++);
}

TEST_CASE("the same under every option") {
  uint64_t seed = 1000;
  for (const Scope scope : {Scope::kRow, Scope::kTensor})
    for (const Score score : {Score::kAbsolute, Score::kSigned})
      for (const Gate gate : {Gate::kGreaterEqual, Gate::kGreater, Gate::kSoft})
        for (const Population population : {Population::kAll, Population::kChanged})
          for (const double epsilon : {0.0, 1e-8}) {
            FusionOptions options{scope, Divergence::kLeftRight, score, gate, Quantile::kLinear, population};
            options.epsilon = epsilon;
            check_same_everywhere({DType::BF16, {9, 100}, 0.5, 0.01, options}, seed++);
          }
}

TEST_CASE("rows long enough to be shared by workers") {
  FusionOptions tensor_scope;
  tensor_scope.scope = Scope::kTensor;
  const Case c{DType::BF16, {2, 700'001}, 0.02, 5e-4, {}};
  const Case whole{DType::F32, {1'400'001}, 0.02, 5e-4, tensor_scope};
  for (const Case& each : {c, whole}) {
    const size_t size = elements_of(each) * dtype_bits(each.dtype) / 8;
    TightBuffer left(size), right(size);
    make_pair(each, 5, left, right);
    const char* best = cpu::best_instruction_set().name;
    const Outcome expected = fuse(each, left, right, best, 1, 1 << 20);
    for (const size_t workers : {2, 7}) CHECK(fuse(each, left, right, best, workers, 4096) == expected);
  }
}

TEST_CASE("values near the ends of the range neither crash nor give infinite thresholds") {
  for (const double scale : {1e-38, 1e30, 3e38}) {
    const Case c{DType::F32, {8, 100}, 1, 1, {}};
    TightBuffer left(3200), right(3200);
    make_pair(c, 3, left, right);
    for (const TightBuffer* side : {&left, &right})
      for (size_t i = 0; i < 800; i++) {
        float value;
        std::memcpy(&value, side->data() + 4 * i, 4);
        value = float(std::max(-1.0, std::min(1.0, double(value))) * scale);
        std::memcpy(side->data() + 4 * i, &value, 4);
      }
    const Outcome expected = fuse(c, left, right, "scalar", 1, 1000);
    CHECK(std::isfinite(expected.stats.threshold));
    CHECK(fuse(c, left, right, cpu::best_instruction_set().name, 2, 1000) == expected);
  }
}

TEST_CASE("NaN and infinity are found and named, or one side is kept") {
  Case c{DType::BF16, {4, 40}, 0.02, 1e-3, {}};
  TightBuffer left(320), right(320);
  make_pair(c, 4, left, right);
  const uint16_t nan = 0x7fc1;
  std::memcpy(right.data() + 2 * 77, &nan, 2);
  CHECK(error_code([&] { fuse(c, left, right, "scalar", 2, 1000); }) == "ERR_NON_FINITE");
  CHECK(error_message([&] {
          fuse(c, left, right, "scalar", 2, 1000);
        }).find("Right holds NaN at element 77") != std::string::npos);
  c.options.non_finite = NonFinite::kRight;
  CHECK(std::memcmp(fuse(c, left, right, "scalar", 2, 1000).bytes.data(), right.data(), 320) == 0);
  c.options.non_finite = NonFinite::kLeft;
  CHECK(std::memcmp(fuse(c, left, right, "scalar", 2, 1000).bytes.data(), left.data(), 320) == 0);
}

}  // namespace
}  // namespace branchmerge
