#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "sft/model/parameters.h"
#include "sft/ops/backend.h"

namespace branchmerge::sft {

/// Linear layers that read the same rows and write side by side (q, k and v; gate and up; or one alone), as
/// offsets into a block. Weights, and biases, that are neighbours in the block are one product.
class LinearMap {
 public:
  /// `names` are in the order of their outputs; ".weight", and ".bias" where the layout has it, are appended.
  LinearMap(const ParameterLayout& layout, const std::vector<std::string>& names);

  /// y (rows × outputs) = x Wᵀ + b, or added to y.
  void forward(Backend& backend, size_t rows, const float* x, const float* block, Target target,
               float* y) const;
  /// dW += dyᵀ x; db += Σ dy.
  void backward_to_weights(Backend& backend, size_t rows, const float* x, const float* dy,
                           float* dblock) const;
  /// dx = dy W.
  void backward_to_inputs(Backend& backend, size_t rows, const float* block, const float* dy,
                          float* dx) const;

 private:
  /// `outputs` columns of y from `column` on; the parameter is at `offset` of the block.
  struct Piece {
    size_t offset, column, outputs;
  };

  static void append(std::vector<Piece>& pieces, const Piece& piece, size_t floats_per_output);

  size_t inputs_ = 0, outputs_ = 0;
  std::vector<Piece> weights_, biases_;
};

}  // namespace branchmerge::sft
