#pragma once
// Attention in float64 by its definition: every pair of rows, nothing tiled, nothing saved.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace branchmerge::sft {

struct SlowAttention {
  std::vector<uint32_t> segments;
  size_t heads, key_value_heads, head_dim;

  size_t rows() const { return segments.back(); }
  size_t stride() const { return (heads + 2 * key_value_heads) * head_dim; }

  /// rows × heads · head_dim from rows of [queries | keys | values].
  std::vector<double> operator()(const std::vector<double>& qkv) const {
    std::vector<double> output(rows() * heads * head_dim);
    for (size_t segment = 0; segment + 1 < segments.size(); segment++)
      for (size_t row = segments[segment]; row < segments[segment + 1]; row++)
        for (size_t head = 0; head < heads; head++) attend(qkv, segments[segment], row, head, output);
    return output;
  }

 private:
  void attend(const std::vector<double>& qkv, size_t first, size_t row, size_t head,
              std::vector<double>& output) const {
    const size_t key_head = heads + head * key_value_heads / heads, value_head = key_head + key_value_heads;
    std::vector<double> weights;
    double total = 0;
    for (size_t seen = first; seen <= row; seen++) {
      double score = 0;
      for (size_t i = 0; i < head_dim; i++)
        score += qkv[row * stride() + head * head_dim + i] * qkv[seen * stride() + key_head * head_dim + i];
      weights.push_back(std::exp(score / std::sqrt(double(head_dim))));
      total += weights.back();
    }
    for (size_t seen = first; seen <= row; seen++)
      for (size_t i = 0; i < head_dim; i++)
        output[(row * heads + head) * head_dim + i] +=
            weights[seen - first] / total * qkv[seen * stride() + value_head * head_dim + i];
  }
};

}  // namespace branchmerge::sft
