#include "sft/ops/cpu/cpu_backend.h"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "../error_code.h"
#include "numbers.h"

namespace branchmerge::sft {
namespace {

/// op(A) op(B) + beta C in float64.
Doubles slow_product(Operand a_is, Operand b_is, size_t m, size_t n, size_t k, const Floats& a,
                     size_t a_stride, const Floats& b, size_t b_stride, const Floats& c, size_t c_stride) {
  Doubles result = to_doubles(c);
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++)
      for (size_t l = 0; l < k; l++)
        result[i * c_stride + j] += double(a[a_is == Operand::kPlain ? i * a_stride + l : l * a_stride + i]) *
                                    double(b[b_is == Operand::kPlain ? l * b_stride + j : j * b_stride + l]);
  return result;
}

TEST_CASE("products of matrices: plain and transposed, in strided rows, added or not, whole or divided") {
  struct Size {
    size_t m, n, k;
  };
  for (const size_t threads : {1, 2, 3, 7}) {
    const auto backend = make_cpu_backend(threads);
    for (const Size& size :
         {Size{1, 1, 1}, Size{5, 3, 7}, Size{130, 259, 65}, Size{70, 33, 2000}, Size{1, 900, 900}})
      for (const Operand a_is : {Operand::kPlain, Operand::kTransposed})
        for (const Operand b_is : {Operand::kPlain, Operand::kTransposed}) {
          const auto [m, n, k] = size;
          const size_t a_rows = a_is == Operand::kPlain ? m : k, a_columns = m + k - a_rows;
          const size_t b_rows = b_is == Operand::kPlain ? k : n, b_columns = n + k - b_rows;
          const size_t a_stride = a_columns + 3, b_stride = b_columns + 1, c_stride = n + 2;
          const Floats a = random_floats(a_rows * a_stride, 1), b = random_floats(b_rows * b_stride, 2);
          const Floats before = random_floats(m * c_stride, 3);
          Floats c = before;
          backend->matrix_product(a_is, b_is, m, n, k, a.data(), a_stride, b.data(), b_stride,
                                  Target::kAccumulate, c.data(), c_stride);
          check_close(c, slow_product(a_is, b_is, m, n, k, a, a_stride, b, b_stride, before, c_stride), "C");

          Floats cleared = before;  // the columns beyond n stay
          for (size_t i = 0; i < m; i++) std::fill_n(cleared.data() + i * c_stride, n, 0.0F);
          c = before;
          backend->matrix_product(a_is, b_is, m, n, k, a.data(), a_stride, b.data(), b_stride,
                                  Target::kOverwrite, c.data(), c_stride);
          check_close(c, slow_product(a_is, b_is, m, n, k, a, a_stride, b, b_stride, cleared, c_stride), "C");
        }
  }
}

// Large enough to be divided among all of them. Another number may differ in the last digits:
// docs/sft-model.md.
TEST_CASE(
    "a product that is divided has the same bytes again on as many threads, and the same numbers on any") {
  constexpr size_t kRows = 509, kColumns = 384, kInner = 259;
  const Floats a = random_floats(kRows * kInner, 1), b = random_floats(kInner * kColumns, 2);
  const auto product = [&](size_t threads) {
    Floats c(kRows * kColumns);
    make_cpu_backend(threads)->matrix_product(Operand::kPlain, Operand::kPlain, kRows, kColumns, kInner,
                                              a.data(), kInner, b.data(), kColumns, Target::kOverwrite,
                                              c.data(), kColumns);
    return c;
  };
  const Doubles one = to_doubles(product(1));
  for (const size_t threads : {2, 3, 7}) {
    const Floats several = product(threads);
    for (int again = 0; again < 3; again++) CHECK(product(threads) == several);
    check_close(several, one, "C");
  }
}

TEST_CASE("RMSNorm of heads in strided rows; the gradient of its weight is summed over rows and heads") {
  constexpr size_t kRows = 300, kHeads = 5, kWidth = 12, kStride = 70, kCompact = kHeads * kWidth;
  constexpr float kEpsilon = 1e-5F;
  const HeadRows shape{kRows, kHeads, kWidth};
  const Floats x = random_floats(kRows * kStride, 1), weight = random_floats(kWidth, 2, 0.1F, 1);
  const Floats dy = random_floats(kRows * kStride, 3);
  Doubles expected_y(kRows * kCompact), expected_dweight(kWidth, 0.5);
  for (size_t row = 0; row < kRows; row++)
    for (size_t head = 0; head < kHeads; head++) {
      const float* const vector = &x[row * kStride + head * kWidth];
      double squares = 0;
      for (size_t i = 0; i < kWidth; i++) squares += double(vector[i]) * double(vector[i]);
      const double inverse_rms = 1 / std::sqrt(squares / kWidth + double(kEpsilon));
      for (size_t i = 0; i < kWidth; i++) {
        const double normed = vector[i] * inverse_rms;
        expected_y[row * kCompact + head * kWidth + i] = normed * double(weight[i]);
        expected_dweight[i] += normed * double(dy[row * kStride + head * kWidth + i]);
      }
    }
  for (const size_t threads : {1, 2, 3}) {
    const auto backend = make_cpu_backend(threads);
    Floats y(kRows * kCompact), inverse_rms(kRows * kHeads), dx = dy, dweight(kWidth, 0.5F);
    backend->rms_norm(shape, x.data(), kStride, weight.data(), kEpsilon, y.data(), kCompact,
                      inverse_rms.data());
    check_close(y, expected_y, "y");
    backend->rms_norm_backward(shape, x.data(), kStride, weight.data(), inverse_rms.data(), dx.data(),
                               kStride, Target::kOverwrite, dx.data(), kStride, dweight.data());
    check_close(dweight, expected_dweight, "dweight");
    // x is orthogonal to its gradient, but for epsilon: scaling a vector does not change its norm's result.
    double along = 0;
    for (size_t i = 0; i < kWidth; i++) along += double(dx[3 * kStride + i]) * double(x[3 * kStride + i]);
    CHECK(std::fabs(along) < 1e-4);
    for (size_t i = kCompact; i < kStride; i++) CHECK(dx[i] == dy[i]);  // between the rows nothing changes
  }
}

TEST_CASE("rotary tables hold the cosines and sines of position times frequency, and go with their row") {
  const auto backend = make_cpu_backend(2);
  const std::vector<uint32_t> positions = {0, 1, 131071, 7};
  const Floats frequencies = {1, 0.1F, 1e-4F};
  Floats cosines(12), sines(12);
  backend->rope_tables(4, positions.data(), 3, frequencies.data(), 1.25F, cosines.data(), sines.data());
  for (size_t row = 0; row < 4; row++)
    for (size_t i = 0; i < 3; i++) {
      const float angle = float(positions[row]) * frequencies[i];
      CHECK(cosines[row * 3 + i] == doctest::Approx(1.25 * std::cos(double(angle))).epsilon(1e-6));
      CHECK(sines[row * 3 + i] == doctest::Approx(1.25 * std::sin(double(angle))).epsilon(1e-6));
    }
  // Two heads a row and a value behind them that is not rotated.
  Floats x = random_floats(4 * 13, 5);
  const Floats before = x;
  backend->rope({4, 2, 6}, x.data(), 13, cosines.data(), sines.data(), Rotation::kForward);
  CHECK(x[2 * 13 + 6 + 1] ==
        doctest::Approx(before[2 * 13 + 7] * cosines[7] - before[2 * 13 + 10] * sines[7]));
  CHECK(x[2 * 13 + 12] == before[2 * 13 + 12]);
}

TEST_CASE("a bias goes to each row, and its gradient is the sum of the rows") {
  const auto backend = make_cpu_backend(3);
  constexpr size_t kRows = 700, kWidth = 150, kStride = 160;
  const Floats bias = random_floats(kWidth, 1), before = random_floats(kRows * kStride, 2);
  Floats y = before, dbias(kWidth, 2);
  backend->add_bias(kRows, kWidth, bias.data(), y.data(), kStride);
  Doubles sums(kWidth, 2);
  for (size_t row = 0; row < kRows; row++)
    for (size_t i = 0; i < kStride; i++) {
      CHECK(y[row * kStride + i] == before[row * kStride + i] + (i < kWidth ? bias[i] : 0));
      if (i < kWidth) sums[i] += double(before[row * kStride + i]);
    }
  backend->add_bias_backward(kRows, kWidth, before.data(), kStride, dbias.data());
  check_close(dbias, sums, "dbias");
}

TEST_CASE("rows are gathered, scattered, copied and added by group") {
  const auto backend = make_cpu_backend(2);
  const Floats table = random_floats(6 * 3, 1);
  const std::vector<uint32_t> indices = {4, 0, 4, 2};
  Floats rows(12);
  backend->gather_rows(4, 3, indices.data(), table.data(), rows.data());
  CHECK(Floats(rows.begin() + 6, rows.begin() + 9) == Floats(table.begin() + 12, table.begin() + 15));

  Floats spread(18);
  const std::vector<uint32_t> places = {5, 1, 0, 3};
  backend->scatter_rows(4, 3, places.data(), rows.data(), spread.data());
  CHECK(Floats(spread.begin() + 15, spread.end()) == Floats(rows.begin(), rows.begin() + 3));
  CHECK(spread[6] == 0);

  // The gradient of gather_rows: rows 0 and 2 both came from row 4.
  Floats sums(18, 1);
  const std::vector<uint32_t> group_indices = {0, 2, 4}, starts = {0, 1, 2, 4}, order = {1, 3, 0, 2};
  backend->add_grouped_rows({3, group_indices.data(), starts.data(), order.data()}, 3, rows.data(),
                            sums.data());
  for (size_t i = 0; i < 3; i++) {
    CHECK(sums[i] == 1 + rows[3 + i]);
    CHECK(sums[6 + i] == 1 + rows[9 + i]);
    CHECK(sums[12 + i] == 1 + rows[i] + rows[6 + i]);
    CHECK(sums[3 + i] == 1);
  }

  Floats copied(2 * 5, -1);
  backend->copy_rows(2, 3, table.data(), 6, copied.data(), 5);
  CHECK(copied == Floats{table[0], table[1], table[2], -1, -1, table[6], table[7], table[8], -1, -1});
}

TEST_CASE("element-wise operations give the same bytes on any number of threads") {
  constexpr size_t kRows = 500, kWidth = 200;
  const Floats x = random_floats(kRows * 2 * kWidth, 1), dy = random_floats(kRows * kWidth, 2);
  const std::vector<uint32_t> targets(kRows, 3);
  std::vector<Floats> results;
  for (const size_t threads : {1, 4}) {
    const auto backend = make_cpu_backend(threads);
    Floats gate_up = x, y(kRows * kWidth), losses(kRows), logits = dy;
    backend->swiglu(kRows, kWidth, gate_up.data(), y.data());
    backend->swiglu_backward(kRows, kWidth, gate_up.data(), dy.data());
    backend->cross_entropy_backward(kRows, kWidth, logits.data(), targets.data(), 0.5F, losses.data());
    Floats forward_losses(kRows);
    backend->cross_entropy(kRows, kWidth, dy.data(), targets.data(), forward_losses.data());
    check_close(forward_losses, to_doubles(losses), "losses");
    for (const Floats* part : {&gate_up, &losses, &logits}) y.insert(y.end(), part->begin(), part->end());
    results.push_back(y);
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("memory is aligned to cache lines, and what cannot be had is an error") {
  const auto backend = make_cpu_backend(1);
  void* const memory = backend->allocate(100);
  CHECK(reinterpret_cast<uintptr_t>(memory) % 64 == 0);
  const Floats values = {1, 2, 3};
  Floats back(3);
  backend->upload(memory, values.data(), 12);
  backend->download(back.data(), memory, 12);
  CHECK(back == values);
  backend->deallocate(memory);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(error_code([&] { backend->allocate(uint64_t{1} << 60); }) == "ERR_OUT_OF_MEMORY");
#endif
}

}  // namespace
}  // namespace branchmerge::sft
