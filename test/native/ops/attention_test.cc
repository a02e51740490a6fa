#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "numbers.h"
#include "sft/ops/cpu/cpu_backend.h"
#include "slow_attention.h"

namespace branchmerge::sft {
namespace {

/// Forward and backward pass of the backend, for output gradients `doutput`.
struct FastAttention {
  Floats output, log_sums, dqkv;

  FastAttention(size_t threads, const SlowAttention& slow, const Floats& qkv, const Floats& doutput)
      : output(doutput.size()), log_sums(slow.rows() * slow.heads), dqkv(qkv.size()) {
    const auto backend = make_cpu_backend(threads);
    const AttentionShape shape{slow.segments, slow.heads, slow.key_value_heads, slow.head_dim,
                               float(1 / std::sqrt(double(slow.head_dim)))};
    void* const scratch = backend->allocate(
        backend->attention_scratch_bytes(slow.rows(), slow.heads, slow.key_value_heads, slow.head_dim));
    backend->attention(shape, qkv.data(), output.data(), log_sums.data(), scratch);
    backend->attention_backward(shape, qkv.data(), output.data(), log_sums.data(), doutput.data(),
                                dqkv.data(), scratch);
    backend->deallocate(scratch);
  }
};

std::vector<uint32_t> starts_of(const std::vector<uint32_t>& lengths) {
  std::vector<uint32_t> starts{0};
  for (const uint32_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

TEST_CASE("attention's gradients agree with finite differences, element by element") {
  struct Case {
    std::vector<uint32_t> lengths;
    size_t heads, key_value_heads, head_dim;
  };
  for (const Case& test : {Case{{1}, 1, 1, 2}, Case{{1, 1, 3}, 2, 1, 2}, Case{{5, 1, 7}, 4, 2, 6},
                           Case{{9}, 3, 3, 4}, Case{{4, 6}, 6, 2, 8}}) {
    const SlowAttention slow{starts_of(test.lengths), test.heads, test.key_value_heads, test.head_dim};
    const Floats qkv = random_floats(slow.rows() * slow.stride(), 1);
    const Floats doutput = random_floats(slow.rows() * slow.heads * slow.head_dim, 2);
    const FastAttention fast(2, slow, qkv, doutput);
    const Doubles weights = to_doubles(doutput);
    check_close(fast.output, slow(to_doubles(qkv)), "output");
    check_close(fast.dqkv,
                numeric_gradient(to_doubles(qkv), [&](const Doubles& x) { return dot(slow(x), weights); }),
                "dqkv");
  }
}

/// Lengths around the tiles' edges: 64 queries, 256 keys.
TEST_CASE(
    "attention across many tiles agrees with its definition, and its gradient along random directions") {
  struct Case {
    std::vector<uint32_t> lengths;
    size_t heads, key_value_heads, head_dim;
  };
  for (const Case& test : {Case{{63, 64, 65, 1}, 2, 1, 10}, Case{{256, 2}, 1, 1, 64}, Case{{257}, 3, 1, 16},
                           Case{{3, 321, 130}, 2, 2, 80}, Case{{577}, 4, 2, 8}}) {
    const SlowAttention slow{starts_of(test.lengths), test.heads, test.key_value_heads, test.head_dim};
    const Floats qkv = random_floats(slow.rows() * slow.stride(), 3);
    const Floats doutput = random_floats(slow.rows() * slow.heads * slow.head_dim, 4);
    const FastAttention fast(2, slow, qkv, doutput);
    const Doubles at = to_doubles(qkv), weights = to_doubles(doutput);
    check_close(fast.output, slow(at), "output");
    for (uint32_t seed = 10; seed < 13; seed++) {
      const Doubles direction = to_doubles(random_floats(qkv.size(), seed));
      const Doubles slope = numeric_gradient({0}, [&](const Doubles& step) {
        Doubles x = at;
        for (size_t i = 0; i < x.size(); i++) x[i] += step[0] * direction[i];
        return dot(slow(x), weights);
      });
      const double analytic = dot(to_doubles(fast.dqkv), direction);
      const double scale = std::sqrt(dot(to_doubles(fast.dqkv), to_doubles(fast.dqkv)));
      CHECK(std::fabs(analytic - slope[0]) <= kTolerance * scale);
    }
  }
}

TEST_CASE("attention gives the same bytes on any number of threads") {
  const SlowAttention slow{starts_of({70, 1, 300}), 6, 2, 16};
  const Floats qkv = random_floats(slow.rows() * slow.stride(), 5);
  const Floats doutput = random_floats(slow.rows() * slow.heads * slow.head_dim, 6);
  const FastAttention one(1, slow, qkv, doutput);
  for (const size_t threads : {2, 3, 5}) {
    const FastAttention several(threads, slow, qkv, doutput);
    CHECK(several.output == one.output);
    CHECK(several.log_sums == one.log_sums);
    CHECK(several.dqkv == one.dqkv);
  }
}

TEST_CASE("a segment's attention does not depend on its neighbours") {
  const SlowAttention alone{starts_of({90}), 2, 1, 12}, packed{starts_of({37, 90, 5}), 2, 1, 12};
  const Floats qkv = random_floats(packed.rows() * packed.stride(), 7);
  const Floats doutput = random_floats(packed.rows() * 2 * 12, 8);
  const auto middle = [](const Floats& values, size_t width) {
    return Floats(values.begin() + ptrdiff_t(37 * width), values.begin() + ptrdiff_t(127 * width));
  };
  const FastAttention together(1, packed, qkv, doutput);
  const FastAttention apart(1, alone, middle(qkv, packed.stride()), middle(doutput, 24));
  CHECK(middle(together.output, 24) == apart.output);
  CHECK(middle(together.dqkv, packed.stride()) == apart.dqkv);
}

TEST_CASE("attention stays finite for scores far beyond the range of exp") {
  const SlowAttention slow{starts_of({300}), 1, 1, 4};
  Floats qkv = random_floats(slow.rows() * slow.stride(), 9, 40);
  const FastAttention fast(1, slow, qkv, random_floats(slow.rows() * 4, 10));
  for (const float value : fast.output) CHECK(std::isfinite(value));
  for (const float value : fast.dqkv) CHECK(std::isfinite(value));
}

TEST_CASE("memory of attention is linear in the number of rows") {
  const auto backend = make_cpu_backend(1);
  const uint64_t small = backend->attention_scratch_bytes(1000, 8, 2, 64);
  const uint64_t large = backend->attention_scratch_bytes(2000, 8, 2, 64);
  CHECK(large - small == backend->attention_scratch_bytes(3000, 8, 2, 64) - large);
  CHECK(large - small == 1000 * 2 * 8 * 64 * sizeof(float));
}

}  // namespace
}  // namespace branchmerge::sft
