#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "../error_code.h"
#include "sft/optimizer/adamw.h"
#include "sft/optimizer/gradient_norm.h"
#include "sft/optimizer/learning_rate.h"

namespace branchmerge::sft {
namespace {

TEST_CASE("schedules give the learning rates of their formulas") {
  struct Row {
    const char* name;
    uint64_t warmup, total;
    std::vector<double> factors;  // of updates 0, 1, …
  };
  const double root = std::sqrt(0.5);
  const Row rows[] = {
      {"constant", 3, 5, {1, 1, 1, 1, 1, 1}},
      {"constant_with_warmup", 0, 5, {1, 1, 1}},
      {"constant_with_warmup", 1, 5, {0, 1, 1}},
      {"constant_with_warmup", 4, 5, {0, 0.25, 0.5, 0.75, 1, 1, 1}},
      {"linear", 0, 4, {1, 0.75, 0.5, 0.25, 0, 0}},
      {"linear", 2, 6, {0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0}},
      {"linear", 2, 2, {0, 0.5, 0, 0}},
      {"cosine", 0, 4, {1, 0.5 + root / 2, 0.5, 0.5 - root / 2, 0, 0}},
      {"cosine", 2, 6, {0, 0.5, 1, 0.5 + root / 2, 0.5, 0.5 - root / 2, 0, 0}},
      {"cosine", 5, 3, {0, 0.2, 0.4, 0.6, 0.8, 0}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CAPTURE(row.warmup);
    const LearningRateSchedule schedule(schedule_kind(row.name), 1e-5, row.warmup, row.total);
    for (size_t update = 0; update < row.factors.size(); update++)
      CHECK(schedule.at(update) == doctest::Approx(1e-5 * row.factors[update]).epsilon(1e-12));
  }
}

TEST_CASE("a warmup ratio is rounded up to updates") {
  CHECK(warmup_updates(0, 100) == 0);
  CHECK(warmup_updates(0.1, 100) == 10);
  CHECK(warmup_updates(0.1, 101) == 11);
  CHECK(warmup_updates(0.1, 1) == 1);
  CHECK(warmup_updates(1, 7) == 7);
}

TEST_CASE("an unknown schedule is refused by name") {
  CHECK(error_code([] { schedule_kind("polynomial"); }) == "ERR_INVALID_ARGUMENT");
  CHECK(error_message([] { schedule_kind("polynomial"); }).find("polynomial") != std::string::npos);
}

/// AdamW as its authors print it (algorithm 2, with the schedule multiplier in the learning rate), in
/// float64.
struct SlowAdamW {
  double weight, first_moment = 0, second_moment = 0;

  void update(double gradient, double learning_rate, double decay, const AdamWOptions& options, double t) {
    first_moment = options.beta1 * first_moment + (1 - options.beta1) * gradient;
    second_moment = options.beta2 * second_moment + (1 - options.beta2) * gradient * gradient;
    const double mean = first_moment / (1 - std::pow(options.beta1, t));
    const double variance = second_moment / (1 - std::pow(options.beta2, t));
    weight -= learning_rate * (mean / (std::sqrt(variance) + options.epsilon) + decay * weight);
  }
};

TEST_CASE("AdamW follows a slow implementation in float64") {
  for (const double beta2 : {0.95, 0.999})
    for (const double decay : {0.0, 0.1}) {
      CAPTURE(beta2);
      CAPTURE(decay);
      const AdamWOptions options = {.beta1 = 0.9, .beta2 = beta2, .epsilon = 1e-8, .weight_decay = decay};
      constexpr size_t kCount = 37;
      std::vector<float> weight(kCount), m(kCount), v(kCount), gradient(kCount);
      std::vector<SlowAdamW> slow;
      for (size_t i = 0; i < kCount; i++) {
        weight[i] = static_cast<float>(std::sin(static_cast<double>(i)));
        slow.push_back({weight[i]});
      }
      for (uint64_t t = 1; t <= 50; t++) {
        const double learning_rate = 1e-3 * static_cast<double>(t % 7),
                     scale = 1 / static_cast<double>(1 + t % 3);
        for (size_t i = 0; i < kCount; i++) {
          // From 1e-12, far below epsilon, to 1e6.
          gradient[i] = static_cast<float>(std::pow(10.0, static_cast<double>(i % 19) - 12) *
                                           std::cos(static_cast<double>(i * t)));
          slow[i].update(gradient[i] * scale, learning_rate, decay, options, static_cast<double>(t));
        }
        adamw_update(adamw_factors(options, learning_rate, scale, t), kCount, gradient.data(), weight.data(),
                     m.data(), v.data());
      }
      for (size_t i = 0; i < kCount; i++) {
        CAPTURE(i);
        CHECK(std::fabs(weight[i] - slow[i].weight) < 2e-6);
        CHECK(m[i] == doctest::Approx(slow[i].first_moment).epsilon(1e-4));
        CHECK(v[i] == doctest::Approx(slow[i].second_moment).epsilon(1e-5));
      }
    }
}

TEST_CASE("AdamW has the bytes of a plain loop, whatever instructions the CPU has") {
  const AdamWOptions options = {.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1};
  constexpr size_t kCount = 1009;
  std::vector<float> weight(kCount), m(kCount), v(kCount), gradient(kCount);
  for (size_t i = 0; i < kCount; i++) weight[i] = static_cast<float>(i % 101) / 101 - 0.5F;
  std::vector<float> plain_weight = weight, plain_m = m, plain_v = v;
  for (uint64_t t = 1; t <= 20; t++) {
    for (size_t i = 0; i < kCount; i++)
      gradient[i] = std::ldexp(static_cast<float>((i * t) % 97) - 48, static_cast<int>(i % 40) - 30);
    const AdamWFactors f = adamw_factors(options, 1e-3, 0.7, t);
    adamw_update(f, kCount, gradient.data(), weight.data(), m.data(), v.data());
    for (size_t i = 0; i < kCount; i++) {
      const float g = gradient[i] * f.gradient_scale;
      plain_m[i] += f.rest1 * (g - plain_m[i]);
      plain_v[i] += f.rest2 * (g * g - plain_v[i]);
      const float direction =
          plain_m[i] * f.correction1 / (std::sqrt(plain_v[i] * f.correction2) + f.epsilon);
      plain_weight[i] -= f.learning_rate * (direction + f.weight_decay * plain_weight[i]);
    }
  }
  CHECK(weight == plain_weight);
  CHECK(m == plain_m);
  CHECK(v == plain_v);
}

TEST_CASE("with a learning rate of 0 the moments move and the weights do not") {
  const AdamWOptions options = {.weight_decay = 0.1};
  float weight = 0.3F, m = 0, v = 0;
  const float gradient = 2;
  adamw_update(adamw_factors(options, 0, 1, 1), 1, &gradient, &weight, &m, &v);
  CHECK(weight == 0.3F);
  CHECK(m == doctest::Approx(0.2));
  CHECK(v == doctest::Approx(0.004));
}

TEST_CASE(
    "the sum of squares is exact where float32 would overflow or vanish, and finite only for finite "
    "numbers") {
  std::vector<float> data(1001, 1e30F);
  CHECK(sum_of_squares(data.data(), data.size()) == doctest::Approx(1001e60).epsilon(1e-6));
  data.assign(1001, 1e-30F);
  CHECK(sum_of_squares(data.data(), data.size()) == doctest::Approx(1001e-60).epsilon(1e-6));
  data.assign(1001, std::numeric_limits<float>::max());
  CHECK(std::isfinite(sum_of_squares(data.data(), data.size())));
  CHECK(sum_of_squares(data.data(), 0) == 0);
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()})
    for (const size_t at : {size_t{0}, size_t{17}, size_t{1000}}) {
      data.assign(1001, 1);
      data[at] = bad;
      CHECK_FALSE(std::isfinite(sum_of_squares(data.data(), data.size())));
    }
}

TEST_CASE("clipping scales down to the limit and never up") {
  CHECK(clipping_scale(0.5, 1) == 1);
  CHECK(clipping_scale(0, 1) == 1);
  CHECK(clipping_scale(4, 1) == doctest::Approx(0.25).epsilon(1e-6));
  CHECK(clipping_scale(4, 1) == 1 / (4 + 1e-6));
}

}  // namespace
}  // namespace branchmerge::sft
