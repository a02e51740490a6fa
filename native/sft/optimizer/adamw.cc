#include "sft/optimizer/adamw.h"

#include <cmath>

// The loader takes the widest that the CPU has. Every operation is one that IEEE 754 rounds exactly, and none
// are contracted, so all give the same bytes.
#if defined(__x86_64__) && defined(__GLIBC__)
#define FOR_EACH_INSTRUCTION_SET __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_INSTRUCTION_SET
#endif

namespace branchmerge::sft {

AdamWFactors adamw_factors(const AdamWOptions& options, double learning_rate, double gradient_scale,
                           uint64_t update) {
  const auto t = static_cast<double>(update);
  return {.rest1 = static_cast<float>(1 - options.beta1),
          .rest2 = static_cast<float>(1 - options.beta2),
          .epsilon = static_cast<float>(options.epsilon),
          .gradient_scale = static_cast<float>(gradient_scale),
          .learning_rate = static_cast<float>(learning_rate),
          .correction1 = static_cast<float>(1 / (1 - std::pow(options.beta1, t))),
          .correction2 = static_cast<float>(1 / (1 - std::pow(options.beta2, t))),
          .weight_decay = static_cast<float>(options.weight_decay)};
}

FOR_EACH_INSTRUCTION_SET
void adamw_update(const AdamWFactors& factors, size_t count, const float* __restrict gradient,
                  float* __restrict weight, float* __restrict first_moment, float* __restrict second_moment) {
  const AdamWFactors f = factors;
  for (size_t i = 0; i < count; i++) {
    const float g = gradient[i] * f.gradient_scale;
    const float m = first_moment[i] + f.rest1 * (g - first_moment[i]);
    const float v = second_moment[i] + f.rest2 * (g * g - second_moment[i]);
    const float direction = m * f.correction1 / (std::sqrt(v * f.correction2) + f.epsilon);
    weight[i] -= f.learning_rate * (direction + f.weight_decay * weight[i]);
    first_moment[i] = m;
    second_moment[i] = v;
  }
}

}  // namespace branchmerge::sft
