#pragma once
#include <cstddef>
#include <cstdint>

namespace branchmerge::sft {

/// Which parameters weight decay applies to: matrices alone, or biases and norms, too.
enum class Decay { kMatrices, kAll };

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  Decay decay = Decay::kMatrices;
};

/// The factors that one update has in common for all elements.
struct AdamWFactors {
  float rest1, rest2;  ///< 1 - beta1, 1 - beta2
  float epsilon;
  float gradient_scale;  ///< multiplies every gradient first
  float learning_rate;
  float correction1, correction2;  ///< 1 / (1 - beta^t)
  float weight_decay;
};

/// The factors of update number `update`, from 1. They are computed in float64 and rounded once.
AdamWFactors adamw_factors(const AdamWOptions& options, double learning_rate, double gradient_scale,
                           uint64_t update);

/// AdamW with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2) on `count` float32 elements:
///   m += (1 - beta1)(g - m),  v += (1 - beta2)(g² - v),
///   w -= learning_rate (m correction1 / (sqrt(v correction2) + epsilon) + weight_decay w).
/// The weight is rounded once.
void adamw_update(const AdamWFactors& factors, size_t count, const float* gradient, float* weight,
                  float* first_moment, float* second_moment);

}  // namespace branchmerge::sft
