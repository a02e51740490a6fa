#include "sft/ops/cpu/kernels.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "numbers.h"

namespace branchmerge::sft {
namespace {

/// Lengths around the lanes, and one beyond the terms that a lane adds in float32.
const std::vector<size_t> kLengths = {1, 2, 7, 31, 32, 33, 64, 100, 5000};

template <class Body>
void for_each_instruction_set(const Body& body) {
  for (const char* name : {"scalar", "avx2", "avx512"}) {
    const cpu::Kernels* const kernels = cpu::kernels_of(name);
    if (!kernels) continue;
    INFO("instruction set " << std::string(name));
    body(*kernels);
  }
}

Doubles slow_rms_norm(const Doubles& x, const Doubles& weight, double epsilon) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double rms = std::sqrt(squares / double(x.size()) + epsilon);
  Doubles y(x.size());
  for (size_t i = 0; i < x.size(); i++) y[i] = weight[i] * x[i] / rms;
  return y;
}

TEST_CASE("unknown instruction sets are none") { CHECK(cpu::kernels_of("sse9") == nullptr); }

TEST_CASE("the exponential is exact to two units in the last place over its whole range") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    Floats x;
    for (float value = -87.3F; value < 88.7F; value += 0.00137F) x.push_back(value);
    Floats y(x.size());
    kernels.exponential(x.size(), x.data(), y.data());
    double worst = 0;
    for (size_t i = 0; i < x.size(); i++)
      worst = std::max(worst, std::fabs(double(y[i]) / std::exp(double(x[i])) - 1));
    CHECK(worst <= 2 * 0x1p-23);
  });
}

TEST_CASE("the exponential at its edges") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const Floats x = {0, -0.0F, -kInfinity, -88, -1e30F, 88.8F, kInfinity, std::nanf("")};
    Floats y(x.size());
    kernels.exponential(x.size(), x.data(), y.data());
    CHECK(Floats(y.begin(), y.begin() + 7) == Floats{1, 1, 0, 0, 0, kInfinity, kInfinity});
    CHECK(std::isnan(y[7]));
  });
}

TEST_CASE("RMSNorm of a row and its gradients") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    for (const size_t n : kLengths) {
      const Floats x = random_floats(n, 1), weight = random_floats(n, 2, 0.1F, 1), dy = random_floats(n, 3);
      Floats y(n), dx(n, 0.5F), dweight(n, 0.25F);
      const float inverse_rms = kernels.rms_norm(n, x.data(), weight.data(), 1e-6F, y.data());
      check_close(y, slow_rms_norm(to_doubles(x), to_doubles(weight), 1e-6), "y");
      if (n > 100) continue;

      const Doubles expected_dx = numeric_gradient(to_doubles(x), [&](const Doubles& at) {
        return dot(slow_rms_norm(at, to_doubles(weight), 1e-6), to_doubles(dy));
      });
      kernels.rms_norm_backward(n, x.data(), weight.data(), inverse_rms, dy.data(), false, dx.data());
      // One element alone has a gradient of nearly nothing: what cancels is measured against dy.
      for (size_t i = 0; i < n; i++) CHECK(std::fabs(dx[i] - expected_dx[i]) <= kTolerance);
      Floats sum = dx;
      kernels.rms_norm_backward(n, x.data(), weight.data(), inverse_rms, dy.data(), true, sum.data());
      for (size_t i = 0; i < n; i++) CHECK(sum[i] == doctest::Approx(2 * dx[i]).epsilon(1e-6));
      Floats in_place = dy;
      kernels.rms_norm_backward(n, x.data(), weight.data(), inverse_rms, in_place.data(), false,
                                in_place.data());
      CHECK(in_place == dx);

      Doubles expected_dweight = numeric_gradient(to_doubles(weight), [&](const Doubles& at) {
        return dot(slow_rms_norm(to_doubles(x), at, 1e-6), to_doubles(dy));
      });
      for (double& value : expected_dweight) value += 0.25;
      kernels.rms_norm_weight_gradient(1, std::min(n, cpu::kColumns), x.data(), n, &inverse_rms, 1, dy.data(),
                                       n, dweight.data());
      check_close(dweight, expected_dweight, "dweight");
    }
  });
}

TEST_CASE("sums of columns over many rows") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    constexpr size_t kRows = 1000, kWidth = 37, kStride = 40;
    const Floats x = random_floats(kRows * kStride, 4);
    Floats sums(kWidth, 1);
    Doubles expected(kWidth, 1);
    for (size_t row = 0; row < kRows; row++)
      for (size_t c = 0; c < kWidth; c++) expected[c] += double(x[row * kStride + c]);
    kernels.column_sums(kRows, kWidth, x.data(), kStride, sums.data());
    check_close(sums, expected, "sums");
  });
}

TEST_CASE("a rotation, and back") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    for (const size_t half : {1, 3, 16, 40}) {
      Floats x = random_floats(2 * half, 5), cosines(half), sines(half);
      Doubles expected(2 * half);
      for (size_t i = 0; i < half; i++) {
        const double angle = 0.37 * double(i + 1);
        cosines[i] = float(std::cos(angle));
        sines[i] = float(std::sin(angle));
        expected[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
        expected[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
      }
      const Doubles start = to_doubles(x);
      kernels.rope(half, x.data(), cosines.data(), sines.data(), 1);
      check_close(x, expected, "rotated");
      kernels.rope(half, x.data(), cosines.data(), sines.data(), -1);
      check_close(x, start, "rotated back");
    }
  });
}

double slow_swiglu(double gate, double up) { return gate / (1 + std::exp(-gate)) * up; }

TEST_CASE("SwiGLU and its gradients") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    Floats gate = random_floats(75, 6, 4), up = random_floats(75, 7), dy = random_floats(75, 8);
    for (const float extreme : {0.0F, 100.0F, -100.0F, 1e4F, -1e4F}) {
      gate.push_back(extreme);
      up.push_back(1.5F);
      dy.push_back(1);
    }
    const size_t n = gate.size();
    Floats y(n);
    Doubles expected(n), dgate(n), dup(n);
    for (size_t i = 0; i < n; i++) {
      expected[i] = slow_swiglu(gate[i], up[i]);
      dgate[i] = numeric_gradient({gate[i]},
                                  [&](const Doubles& at) { return slow_swiglu(at[0], up[i]) * dy[i]; })[0];
      dup[i] = numeric_gradient({up[i]},
                                [&](const Doubles& at) { return slow_swiglu(gate[i], at[0]) * dy[i]; })[0];
    }
    kernels.swiglu(n, gate.data(), up.data(), y.data());
    kernels.swiglu_backward(n, gate.data(), up.data(), dy.data());
    for (size_t i = 0; i < n; i++) {
      CHECK(y[i] == doctest::Approx(expected[i]).epsilon(1e-5));
      CHECK(std::fabs(gate[i] - dgate[i]) <= kTolerance * std::max(1.0, std::fabs(dgate[i])));
      CHECK(std::fabs(up[i] - dup[i]) <= kTolerance * std::max(1.0, std::fabs(dup[i])));
    }
  });
}

double slow_cross_entropy(const Doubles& logits, size_t target) {
  double largest = logits[0], sum = 0;
  for (const double logit : logits) largest = std::max(largest, logit);
  for (const double logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum) - logits[target];
}

TEST_CASE("cross-entropy of a row and its gradient") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    for (const size_t n : kLengths) {
      Floats logits = random_floats(n, 9, 3);
      const size_t target = n / 3;
      const double loss = slow_cross_entropy(to_doubles(logits), target);
      CHECK(std::fabs(double(kernels.cross_entropy(n, logits.data(), target)) - loss) <=
            kTolerance * (1 + loss));
      const Doubles expected =
          n > 100 ? Doubles() : numeric_gradient(to_doubles(logits), [&](const Doubles& at) {
            return 0.125 * slow_cross_entropy(at, target);
          });
      const float again = kernels.cross_entropy_backward(n, logits.data(), target, 0.125F);
      CHECK(std::fabs(double(again) - loss) <= kTolerance * (1 + loss));
      double sum = 0;
      for (const float value : logits) sum += value;
      CHECK(std::fabs(sum) <= 1e-6);
      for (size_t i = 0; i < expected.size(); i++) CHECK(std::fabs(logits[i] - expected[i]) <= 1e-6);
    }
  });
}

TEST_CASE("cross-entropy of logits beyond the range of exp, and of logits that are not finite") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    Floats logits = {1000, -1000, 999, 0};
    CHECK(kernels.cross_entropy(4, logits.data(), 1) == doctest::Approx(2000.31326));
    kernels.cross_entropy_backward(4, logits.data(), 0, 1);
    CHECK(logits[0] == doctest::Approx(-0.268941).epsilon(1e-5));
    CHECK(logits[2] == doctest::Approx(0.268941).epsilon(1e-5));
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      Floats broken(70, 1);
      broken[40] = bad;
      CHECK_FALSE(std::isfinite(kernels.cross_entropy(broken.size(), broken.data(), 3)));
      CHECK_FALSE(std::isfinite(kernels.cross_entropy_backward(broken.size(), broken.data(), 3, 1)));
    }
  });
}

TEST_CASE("a softmax in steps is the softmax of all") {
  for_each_instruction_set([](const cpu::Kernels& kernels) {
    const Floats scores = random_floats(90, 10, 5);
    for (const size_t cut : {1, 32, 64, 89}) {
      Floats first(scores.begin(), scores.begin() + ptrdiff_t(cut));
      Floats second(scores.begin() + ptrdiff_t(cut), scores.end());
      cpu::RunningSoftmax state{-std::numeric_limits<float>::infinity(), 0};
      CHECK(kernels.softmax_step(first.size(), 0.5F, first.data(), &state) == 0);
      const float correction = kernels.softmax_step(second.size(), 0.5F, second.data(), &state);
      const double log_sum = double(state.maximum) + std::log(double(state.sum));
      for (size_t i = 0; i < scores.size(); i++) {
        const float part = i < cut ? first[i] * correction : second[i - cut];
        double others = 0;
        for (const float score : scores) others += std::exp(0.5 * (double(score) - double(scores[i])));
        CHECK(double(part) / double(state.sum) == doctest::Approx(1 / others).epsilon(1e-5));
        CHECK(std::exp(0.5 * double(scores[i]) - log_sum) == doctest::Approx(1 / others).epsilon(1e-5));
      }
    }
  });
}

}  // namespace
}  // namespace branchmerge::sft
