#include "sft/model/rope.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

namespace branchmerge::sft {
namespace {

using Expected = std::vector<std::pair<size_t, double>>;

/// The expected numbers were computed in float64, apart from this package, by the formulas that transformers
/// documents for each rope_type.
void check_frequencies(const RopeConfig& rope, size_t head_dim, size_t length, const Expected& expected) {
  const std::vector<float> frequencies = inverse_frequencies(rope, head_dim, length);
  CHECK(frequencies.size() == head_dim / 2);
  for (const auto& [pair, value] : expected) CHECK(frequencies[pair] == doctest::Approx(value).epsilon(1e-7));
}

TEST_CASE("default frequencies are powers of theta") {
  check_frequencies({}, 64, 9, {{0, 1}, {1, 0.749894209}, {15, 0.0133352143}, {31, 0.000133352143}});
  check_frequencies({}, 2, 9, {{0, 1}});
}

TEST_CASE("linear scaling divides all frequencies") {
  RopeConfig rope;
  rope.type = RopeType::kLinear;
  rope.factor = 8;
  check_frequencies(rope, 64, 9, {{0, 0.125}, {1, 0.0937367762}, {31, 1.66690179e-05}});
}

TEST_CASE("dynamic NTK scaling raises theta beyond the original length") {
  RopeConfig rope;
  rope.type = RopeType::kDynamic;
  rope.factor = 2;
  rope.original_max_positions = 2048;
  for (const size_t length : {1, 100, 2048})
    check_frequencies(rope, 64, length, {{0, 1}, {1, 0.749894209}, {15, 0.0133352143}, {31, 0.000133352143}});
  check_frequencies(rope, 64, 4096, {{0, 1}, {1, 0.723784022}, {15, 0.00783672987}, {31, 4.44507144e-05}});
  check_frequencies(rope, 64, 8000, {{0, 1}, {1, 0.704886422}, {15, 0.00526971551}, {31, 1.95746265e-05}});
}

TEST_CASE("YaRN interpolates low frequencies and keeps high ones") {
  RopeConfig rope;
  rope.type = RopeType::kYarn;
  rope.theta = 1e6;
  rope.factor = 4;
  rope.original_max_positions = 32768;
  check_frequencies(rope, 128, 9,
                    {{0, 1},
                     {20, 0.0133352143},
                     {23, 0.00697830585},
                     {24, 0.00537532149},
                     {25, 0.00413173802},
                     {30, 0.00106436098},
                     {39, 6.49039432e-05},
                     {40, 4.44569853e-05},
                     {63, 3.1023444e-07}});
  rope.truncate = false;
  check_frequencies(
      rope, 128, 9,
      {{0, 1}, {24, 0.00551727048}, {25, 0.00423435813}, {39, 6.18780681e-05}, {40, 4.44569853e-05}});
}

TEST_CASE("Llama 3 scaling, as Llama-3.2-1B has it") {
  RopeConfig rope;
  rope.type = RopeType::kLlama3;
  rope.theta = 5e5;
  rope.factor = 32;
  rope.original_max_positions = 8192;
  check_frequencies(rope, 64, 9,
                    {{0, 1},
                     {5, 0.128687373},
                     {13, 0.00483942135},
                     {14, 0.00321144599},
                     {15, 0.00129054793},
                     {16, 0.000429556797},
                     {17, 9.7082878e-05},
                     {18, 1.94616382e-05},
                     {31, 9.41830673e-08}});
}

}  // namespace
}  // namespace branchmerge::sft
