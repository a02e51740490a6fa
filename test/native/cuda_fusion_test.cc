// The kernels of CUDA, run by the emulation, against the CPU's: the same bytes and figures, bit for bit,
// under several thread orders; and proof that the comparison notices a barrier that is missing.
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "cuda/runtime.h"
#include "cuda_emulation/device.h"
#include "error_code.h"
#include "fusion/cuda/device_fusion.h"
#include "fusion/fuse_operator.h"
#include "golden_case.h"
#include "memory_operand.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

using Bytes = std::vector<std::byte>;

struct Outcome {
  Bytes bytes;
  TensorStats stats;
  uint64_t kept = 0;
  std::string error;
  uint64_t launches = 0;
};

// ---- the two sides of the comparison -------------------------------------------------------------

Outcome fuse_on_cpu(const Pair& pair, DType output, const FusionOptions& options) {
  Outcome outcome;
  WorkerPool pool(1);
  FusionScratch scratch;
  FuseOperator fuse(pair.info(), output, options, cpu::best_instruction_set(), scratch);
  Memory left(pair.left.data()), right(pair.right.data());
  const std::vector<TensorReader*> operands{&left, &right};
  outcome.error = error_message([&] {
    fuse.prepare(operands, pool);
    outcome.bytes.resize(pair.info().elements * (dtype_bits(output) / 8));
    outcome.kept = fuse.apply(0, 0, pair.info().elements, operands, outcome.bytes.data());
  });
  outcome.stats = fuse.stats();
  return outcome;
}

/// How the device gets its elements.
struct Transport {
  uint64_t slice = 0;          // 0: the whole tensor
  unsigned misalignment = 0;   // elements from a multiple of 16 bytes
  uint64_t stretch = 1 << 20;  // elements a call of apply
  bool in_place = false;       // the result over Left
};

/// Elements in device memory, copied there when they are asked for; what an earlier fetch gave is gone.
class CopyingReader final : public cuda::DeviceReader {
 public:
  CopyingReader(const Bytes& bytes, size_t size, unsigned misalignment, cudaStream_t stream)
      : bytes_(bytes), size_(size), offset_(misalignment * size), stream_(stream) {}

  const std::byte* fetch(uint64_t begin, uint64_t end) override {
    cuda::check(cudaStreamSynchronize(stream_), "finish its work");
    const size_t n = (end - begin) * size_;
    memory_ = cuda::DeviceMemory();
    memory_ = cuda::DeviceMemory(offset_ + n);
    cuda::check(cudaMemcpyAsync(memory_.data() + offset_, bytes_.data() + begin * size_, n,
                                cudaMemcpyHostToDevice, stream_),
                "copy a tensor to the device");
    return memory_.data() + offset_;
  }

 private:
  const Bytes& bytes_;
  size_t size_, offset_;
  cudaStream_t stream_;
  cuda::DeviceMemory memory_;
};

void apply_on_device(const Pair& pair, DType output, const Transport& transport, cuda::DeviceFusion& fuse,
                     CopyingReader& left, CopyingReader& right, cudaStream_t stream, Outcome& outcome) {
  const size_t out_size = dtype_bits(output) / 8;
  const uint64_t n = pair.info().elements;
  outcome.bytes.resize(n * out_size);
  const cuda::DeviceMemory taken(sizeof(unsigned long long));
  cuda::check(cudaMemsetAsync(taken.data(), 0, taken.size(), stream), "clear memory");
  for (uint64_t begin = 0; begin < n; begin += transport.stretch) {
    const uint64_t end = std::min(n, begin + transport.stretch);
    auto* left_at = const_cast<std::byte*>(left.fetch(begin, end));
    const std::byte* right_at = right.fetch(begin, end);
    const size_t offset = transport.misalignment * out_size;
    const cuda::DeviceMemory own(transport.in_place ? 0 : offset + (end - begin) * out_size);
    std::byte* out = transport.in_place ? left_at : own.data() + offset;
    fuse.apply(begin, end, left_at, right_at, out, reinterpret_cast<unsigned long long*>(taken.data()));
    cuda::check(cudaMemcpyAsync(outcome.bytes.data() + begin * out_size, out, (end - begin) * out_size,
                                cudaMemcpyDeviceToHost, stream),
                "copy from the device");
    cuda::check(cudaStreamSynchronize(stream), "finish its work");
  }
  cuda::check(cudaMemcpy(&outcome.kept, taken.data(), sizeof outcome.kept, cudaMemcpyDeviceToHost), "copy");
}

Outcome fuse_on_device(const Pair& pair, DType output, const FusionOptions& options,
                       const Transport& transport = {}) {
  Outcome outcome;
  const uint64_t launches = cuda_emulation::launches();
  outcome.error = error_message([&] {
    const cuda::Stream stream;
    const uint64_t slice = transport.slice == 0 ? pair.info().elements : transport.slice;
    cuda::DeviceFusionScratch scratch;
    const size_t before = cuda_emulation::device_bytes_in_use();
    cuda::DeviceFusion fuse(pair.info(), output, options, slice, scratch, stream);
    CopyingReader left(pair.left, pair.size(), transport.misalignment, stream);
    CopyingReader right(pair.right, pair.size(), transport.misalignment, stream);
    fuse.prepare(left, right);
    outcome.stats = fuse.stats();
    const size_t copies = 2 * (slice + transport.misalignment) * pair.size();
    CHECK(cuda_emulation::device_bytes_in_use() <=
          before + copies + cuda::DeviceFusion::scratch_bytes(pair.info(), options, slice));
    apply_on_device(pair, output, transport, fuse, left, right, stream, outcome);
  });
  CHECK(cuda_emulation::device_bytes_in_use() == 0);
  outcome.launches = cuda_emulation::launches() - launches;
  return outcome;
}

bool same_bits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

bool same(const Outcome& a, const Outcome& b) {
  const auto figures = [](const TensorStats& s) {
    return std::array<double, 7>{s.threshold, s.q1, s.median, s.q3, s.kl_min, s.kl_median, s.kl_max};
  };
  const auto x = figures(a.stats), y = figures(b.stats);
  return a.error == b.error && a.bytes == b.bytes && a.kept == b.kept &&
         std::equal(x.begin(), x.end(), y.begin(), same_bits) && a.stats.degenerate == b.stats.degenerate &&
         a.stats.identical == b.stats.identical && a.stats.kept_operand == b.stats.kept_operand;
}

/// Thread orders: ascending, descending, shuffled; asynchronous copies come at once under odd ones.
constexpr uint64_t kOrders[] = {0, 1, 2};

void check_same(const Pair& pair, DType output, const FusionOptions& options,
                const Transport& transport = {}) {
  static uint64_t count = 0;
  cuda_emulation::set_thread_order(count++ % 7);
  CHECK(same(fuse_on_device(pair, output, options, transport), fuse_on_cpu(pair, output, options)));
}
void check_same(const Pair& pair, const FusionOptions& options, const Transport& transport = {}) {
  check_same(pair, pair.dtype, options, transport);
}

// ---- tensors -------------------------------------------------------------------------------------

/// One element in `unchanged_in` is the same on both sides.
Pair make_pair(DType dtype, const std::vector<uint64_t>& shape, double scale, double difference,
               uint64_t seed, uint64_t unchanged_in = 4) {
  Pair pair{dtype, shape, {}, {}};
  const size_t n = pair.info().elements;
  pair.left.resize(n * pair.size());
  pair.right.resize(n * pair.size());
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  for (size_t i = 0; i < n; i++) {
    const double x = scale * normal(random),
                 y = random() % unchanged_in ? x + difference * normal(random) : x;
    (void)round_to_dtype(&x, dtype, pair.left.data() + i * pair.size(), 1);
    (void)round_to_dtype(&y, dtype, pair.right.data() + i * pair.size(), 1);
  }
  return pair;
}

template <class Value>
void set_element(Bytes& bytes, size_t i, Value bits) {
  std::memcpy(bytes.data() + i * sizeof bits, &bits, sizeof bits);
}

std::vector<FusionOptions> all_options() {
  std::vector<FusionOptions> all;
  for (const Scope scope : {Scope::kRow, Scope::kTensor})
    for (const Divergence divergence : {Divergence::kRightLeft, Divergence::kLeftRight})
      for (const Score score : {Score::kAbsolute, Score::kSigned})
        for (const Gate gate : {Gate::kGreaterEqual, Gate::kGreater, Gate::kSoft})
          for (const Quantile quantile : {Quantile::kLower, Quantile::kLinear})
            for (const Population population : {Population::kAll, Population::kChanged})
              for (const double epsilon : {0.0, 1e-8, 1e-3}) {
                FusionOptions options{scope, divergence, score, gate, quantile, population};
                options.epsilon = epsilon;
                all.push_back(options);
              }
  return all;
}

TEST_SUITE_BEGIN("CUDA");

TEST_CASE("every golden case gives the CPU's bytes and figures under every thread order") {
  cuda_emulation::reset();
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(BRANCHMERGE_GOLDEN)) {
    if (!entry.is_directory()) continue;
    CAPTURE(entry.path().filename().string());
    cases++;
    const Pair pair = read_golden(entry.path());
    const FusionOptions options = read_options(entry.path() / "case.json");
    const Outcome expected = fuse_on_cpu(pair, pair.dtype, options);
    for (const uint64_t order : kOrders) {
      cuda_emulation::set_thread_order(order);
      CHECK(same(fuse_on_device(pair, pair.dtype, options), expected));
    }
  }
  CHECK(cases == 38);
}

TEST_CASE("rows of every awkward length, near and far, in every dtype, wherever they begin") {
  cuda_emulation::reset();
  uint64_t seed = 1;
  for (const DType dtype : {DType::BF16, DType::F16, DType::F32, DType::F64})
    for (const std::vector<uint64_t>& shape : std::vector<std::vector<uint64_t>>{
             {}, {1}, {31}, {33, 1}, {7, 33}, {9, 31}, {3, 5, 64}, {3, 1025}, {2, 4097}, {130, 8}})
      for (const double difference : {1e-5, 1e-3, 0.3, 30.0}) {
        const unsigned misalignment = unsigned(seed % 3);
        CAPTURE(dtype_name(dtype));
        CAPTURE(shape.empty() ? 0 : shape.back());
        CAPTURE(difference);
        check_same(make_pair(dtype, shape, 0.02, difference, seed), {}, {0, misalignment, 997, false});
        seed++;
      }
}

TEST_CASE("every option") {
  cuda_emulation::reset();
  uint64_t seed = 1000;
  for (const FusionOptions& options : all_options()) {
    const DType dtype = std::array{DType::BF16, DType::F16, DType::F32, DType::F64}[seed % 4];
    check_same(make_pair(dtype, {9, 100}, 0.5, 0.01, seed), options);
    seed++;
  }
}

TEST_CASE("rows that do not fit shared memory, or only once") {
  cuda_emulation::reset();
  FusionOptions tensor_scope;
  tensor_scope.scope = Scope::kTensor;
  for (const uint64_t length : {27'648, 152'064}) {
    check_same(make_pair(DType::BF16, {2, length}, 0.02, 5e-4, length), {});
    check_same(make_pair(DType::F32, {1, length}, 0.02, 0.4, length), {});
  }
  check_same(make_pair(DType::BF16, {2, 27'648}, 0.02, 5e-4, 1), tensor_scope);
}

TEST_CASE("rows that many blocks share") {
  cuda_emulation::reset();
  FusionOptions tensor_scope, soft;
  tensor_scope.scope = soft.scope = Scope::kTensor;
  soft.gate = Gate::kSoft;
  const uint64_t n = (1 << 20) + 5;
  check_same(make_pair(DType::BF16, {n}, 0.02, 5e-4, 2), {});
  check_same(make_pair(DType::F32, {n}, 0.02, 0.3, 3), tensor_scope);
  check_same(make_pair(DType::F16, {n}, 0.02, 5e-4, 4), soft);
}

TEST_CASE("slices of a tensor that does not fit, shorter than a row and longer") {
  cuda_emulation::reset();
  for (const uint64_t slice : {1024, 4096, 10'240})
    for (const double difference : {5e-4, 0.3}) {
      const Pair pair = make_pair(DType::BF16, {7, 3000}, 0.02, difference, slice);
      for (const Scope scope : {Scope::kRow, Scope::kTensor}) {
        FusionOptions options;
        options.scope = scope;
        check_same(pair, options, {slice, 1, 3000, false});
        options.score = Score::kSigned;
        check_same(pair, options, {slice, 0, 1024, true});
      }
    }
}

/// Rows that all have the same pairs, in another order: their divergences, and so the brackets, are alike.
Pair make_even_pair(DType dtype, uint64_t rows, uint64_t columns, double difference = 5e-4) {
  const Pair row = make_pair(dtype, {1, columns}, 0.02, difference, 1, 40);
  Pair pair{dtype, {rows, columns}, {}, {}};
  for (uint64_t r = 0; r < rows; r++)
    for (const auto& [from, to] : {std::pair{&row.left, &pair.left}, std::pair{&row.right, &pair.right}}) {
      const auto turn = from->begin() + std::ptrdiff_t(r * 7 % columns * pair.size());
      to->insert(to->end(), turn, from->end());
      to->insert(to->end(), from->begin(), turn);
    }
  return pair;
}

TEST_CASE("quartiles by brackets from a sample") {
  cuda_emulation::reset();
  FusionOptions linear, changed;
  linear.quantile = Quantile::kLinear;
  changed.population = Population::kChanged;
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const uint64_t columns : {1201, 1024, 1152})
      for (const FusionOptions& options : {FusionOptions{}, linear, changed}) {
        CAPTURE(dtype_name(dtype));
        CAPTURE(columns);
        // Differences that are small beside the last place of 16 bits tie, and fill the brackets.
        const Pair pair = make_even_pair(dtype, 160, columns, dtype == DType::F32 ? 5e-4 : 8e-3);
        const uint64_t launches = cuda_emulation::launches();
        check_same(pair, options);
        // The sample, the brackets, the analysis, three rounds of digits, the gate; rows of whole groups go
        // to the quick kernel, and what that leaves over to the general one. Nothing was counted again.
        CHECK(cuda_emulation::launches() - launches == (columns == 1201 ? 10 : 12));
      }
}

/// Every so many rows differ by more than the quick kernel takes.
Pair make_mixed_pair(DType dtype, uint64_t rows, uint64_t columns, uint64_t far_in) {
  Pair pair = make_pair(dtype, {rows, columns}, 0.02, 5e-4, rows + columns);
  for (uint64_t row = 0; row < rows; row += far_in)
    for (uint64_t i = row * columns; i < (row + 1) * columns; i += 50) {
      const double value = i % 100 == 0 ? 0.3 : -9.5;
      (void)round_to_dtype(&value, dtype, (row % 2 ? pair.left : pair.right).data() + i * pair.size(), 1);
    }
  return pair;
}

TEST_CASE("rows for the quick kernel, rows for the general one, and both in a tensor") {
  cuda_emulation::reset();
  FusionOptions left_is_p, without_epsilon;
  left_is_p.divergence = Divergence::kLeftRight;
  without_epsilon.epsilon = 0;
  for (const DType dtype : {DType::BF16, DType::F16, DType::F32})
    for (const std::pair<uint64_t, uint64_t>& shape :
         {std::pair<uint64_t, uint64_t>{512, 3}, {1024, 1}, {2048, 170}, {3584, 7}}) {
      CAPTURE(dtype_name(dtype));
      CAPTURE(shape.first);
      const Pair pair = make_mixed_pair(dtype, 170, shape.first, shape.second);
      for (const FusionOptions& options : {FusionOptions{}, left_is_p, without_epsilon})
        check_same(pair, options);
      check_same(pair, {}, {0, 1, 1 << 20, false});  // not at multiples of 16 bytes
    }
  // Many segments, and scales at which exponentials need their reduction, or all scores are zero.
  check_same(make_pair(DType::BF16, {161, 27'648}, 0.02, 5e-4, 1), {});
  for (const double scale : {1e-3, 0.1, 0.5, 2.0})
    check_same(make_pair(DType::BF16, {170, 1024}, scale, 5e-4, 2), {});
  for (const uint64_t unchanged_in : {1, 2})
    check_same(make_pair(DType::F32, {170, 1024}, 0.02, 5e-4, 3, unchanged_in), {});
  Pair infinite = make_pair(DType::BF16, {170, 1024}, 0.02, 5e-4, 4);
  set_element(infinite.right, 70'000, uint16_t(0x7f80));
  check_same(infinite, {});
}

TEST_CASE("brackets that promise too little, that miss and that overflow") {
  cuda_emulation::reset();
  const Pair plain = make_even_pair(DType::F32, 160, 1201);
  Pair uneven = plain, missed = plain, overflowing = plain;
  for (size_t row = 0; row < 160; row++)
    for (size_t i = row * 1201; i < (row + 1) * 1201; i++) {
      float x, y;
      std::memcpy(&x, plain.left.data() + 4 * i, 4);
      std::memcpy(&y, plain.right.data() + 4 * i, 4);
      set_element(uneven.right, i, x + (y - x) * float(1 + row % 50));
      // Only the rows that are no part of the sample differ from it.
      if (row % 5 == 2) continue;
      set_element(missed.right, i, x + (y - x) * 4);
      set_element(overflowing.right, i, y == x ? y : x + 5e-4f);
    }
  check_same(uneven, {});
  check_same(missed, {});
  check_same(overflowing, {});
  // Differences of few bits tie.
  for (const DType dtype : {DType::BF16, DType::F16, DType::F64})
    check_same(make_even_pair(dtype, 160, 1201), {});
}

TEST_CASE("other output dtypes, results over Left, and stretches of odd lengths") {
  cuda_emulation::reset();
  FusionOptions soft, tensor_soft;
  soft.gate = tensor_soft.gate = Gate::kSoft;
  tensor_soft.scope = Scope::kTensor;
  const DType dtypes[] = {DType::BF16, DType::F16, DType::F32, DType::F64};
  for (const DType dtype : dtypes) {
    const Pair pair = make_pair(dtype, {5, 333}, 0.02, 1e-2, 5);
    for (const DType output : dtypes)
      for (const FusionOptions& options : {FusionOptions{}, soft})
        check_same(pair, output, options, {0, 1, 100, false});
    for (const FusionOptions& options : {FusionOptions{}, soft, tensor_soft}) {
      check_same(pair, options, {0, 0, 333, true});
      check_same(pair, options, {0, 2, 100, true});
    }
  }
}

TEST_CASE("scores beyond float32 are computed in float64") {
  cuda_emulation::reset();
  for (const double scale : {1e-38, 1e-30, 1e30, 3e38}) {
    Pair pair = make_pair(DType::F32, {8, 100}, 1, 1, 3);
    for (Bytes* side : {&pair.left, &pair.right})
      for (size_t i = 0; i < 800; i++) {
        float value;
        std::memcpy(&value, side->data() + 4 * i, 4);
        set_element(*side, i, float(std::max(-1.0, std::min(1.0, double(value))) * scale));
      }
    check_same(pair, {});
  }
  Pair wide = make_pair(DType::F64, {4, 50}, 1, 1, 3);
  set_element(wide.left, 7, 1.5e308);
  set_element(wide.right, 7, -1.5e308);
  check_same(wide, {});  // the same error
}

TEST_CASE("equal tensors, degenerate ones, and rows that differ by a constant") {
  cuda_emulation::reset();
  Pair equal = make_pair(DType::BF16, {6, 70}, 0.02, 0, 6);
  check_same(equal, {});
  for (size_t i = 0; i < 420; i += 10) set_element(equal.right, i, uint16_t(0x3c80));
  check_same(equal, {});
  FusionOptions changed;
  changed.population = Population::kChanged;
  check_same(equal, changed);
  Pair shifted{DType::F32, {3, 40}, Bytes(480), Bytes(480)};
  for (size_t i = 0; i < 120; i++) {
    set_element(shifted.left, i, 0.125f * float(i % 7));
    set_element(shifted.right, i, 0.125f * float(i % 7) + 0.25f);
  }
  check_same(shifted, {});
}

TEST_CASE("NaN and infinity are named, or one side is kept") {
  cuda_emulation::reset();
  const DType dtypes[] = {DType::BF16, DType::F16, DType::F32, DType::F64};
  const uint64_t odd[4][4] = {
      {0x7fc1, 0xff80, 0x7f81, 0xffd5},
      {0x7e01, 0xfc00, 0x7c01, 0xfe77},
      {0x7fc00001, 0xff800000, 0x7f812345, 0xffd54321},
      {0x7ff8000000000001, 0xfff0000000000000, 0x7ff4123456789abc, 0xfff9876543210abc}};
  for (size_t d = 0; d < 4; d++) {
    Pair pair = make_pair(dtypes[d], {4, 40}, 0.02, 1e-3, 4);
    for (size_t k = 0; k < 4; k++)
      std::memcpy((k % 2 ? pair.left : pair.right).data() + (77 + k) * pair.size(), &odd[d][k], pair.size());
    for (const uint64_t slice : {0, 1024}) check_same(pair, {}, {slice});
    for (const NonFinite side : {NonFinite::kLeft, NonFinite::kRight}) {
      FusionOptions options;
      options.non_finite = side;
      for (const DType output : dtypes) {
        CAPTURE(dtype_name(pair.dtype));
        CAPTURE(dtype_name(output));
        check_same(pair, output, options, {0, 0, 33, false});
      }
      check_same(pair, options, {0, 1, 33, true});
    }
  }
}

// ---- the tests' own teeth ------------------------------------------------------------------------

/// Tensors that take every way through the kernels.
std::vector<std::pair<Pair, FusionOptions>> witnesses() {
  FusionOptions signed_score;
  signed_score.score = Score::kSigned;
  std::vector<std::pair<Pair, FusionOptions>> all;
  all.emplace_back(make_pair(DType::BF16, {40, 2500}, 0.02, 5e-4, 1), FusionOptions{});
  all.emplace_back(make_pair(DType::F32, {9, 30'000}, 0.02, 0.3, 2), signed_score);
  all.emplace_back(make_even_pair(DType::F32, 160, 1201), FusionOptions{});
  all.emplace_back(make_pair(DType::F32, {170, 3072}, 0.02, 5e-4, 5), FusionOptions{});
  return all;
}

/// Brackets decide nothing but how much is to be done: what shows that they are wrong is more launches.
bool is_noticed(const std::pair<Pair, FusionOptions>& witness, const Outcome& expected, uint64_t order) {
  cuda_emulation::set_thread_order(order);
  try {
    const Outcome outcome = fuse_on_device(witness.first, witness.first.dtype, witness.second);
    return !same(outcome, expected) || (expected.launches > 0 && outcome.launches != expected.launches);
  } catch (const cuda_emulation::KernelError&) {
    cuda_emulation::reset();
    return true;
  }
}

TEST_CASE("a missing barrier does not go unnoticed, whichever it is") {
  cuda_emulation::reset();
  cuda_emulation::forget_barriers();
  const auto all = witnesses();
  std::vector<Outcome> expected;
  for (const auto& [pair, options] : all) {
    expected.push_back(fuse_on_cpu(pair, pair.dtype, options));
    expected.back().launches = fuse_on_device(pair, pair.dtype, options).launches;
    for (const uint64_t order : kOrders) CHECK_FALSE(is_noticed({pair, options}, expected.back(), order));
  }
  const std::set<std::string> barriers = cuda_emulation::reached_barriers();
  CHECK(barriers.size() == 21);
  for (const std::string& barrier : barriers) {
    CAPTURE(barrier);
    cuda_emulation::drop_barrier(barrier);
    bool noticed = false;
    for (size_t w = 0; w < all.size() && !noticed; w++)
      for (const uint64_t order : kOrders) noticed = noticed || is_noticed(all[w], expected[w], order);
    cuda_emulation::drop_barrier("");
    CHECK(noticed);
  }
}

// ---- failures ------------------------------------------------------------------------------------

TEST_CASE("a device without memory, or lost at any launch, is an error and leaks nothing") {
  const Pair pair = make_pair(DType::BF16, {20, 300}, 0.02, 5e-4, 1);
  for (uint64_t n = 1; n <= 3; n++) {
    cuda_emulation::reset();
    cuda_emulation::fail_device_allocation(n);
    CHECK(fuse_on_device(pair, pair.dtype, {}).error.find("out of memory") != std::string::npos);
  }
  cuda_emulation::reset();
  CHECK(fuse_on_device(pair, pair.dtype, {}).error.empty());
  const uint64_t launches = cuda_emulation::launches();
  CHECK(launches >= 3);
  for (uint64_t n = 1; n <= launches; n++) {
    cuda_emulation::reset();
    cuda_emulation::fail_launch(n, cudaErrorECCUncorrectable);
    const Outcome outcome = fuse_on_device(pair, pair.dtype, {});
    CHECK(outcome.error.find("ECC") != std::string::npos);
  }
  cuda_emulation::reset();
}

TEST_SUITE_END();

}  // namespace
}  // namespace branchmerge
