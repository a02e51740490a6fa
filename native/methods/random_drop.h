#pragma once
#include <vector>

#include "methods/random_numbers.h"
#include "methods/thinning.h"

namespace branchmerge {

/// Keeps every element with the same probability (docs/methods/dare_linear.md).
class RandomDrop final : public Thinning {
 public:
  /// density: of each input.
  RandomDrop(const OperandInfo& info, std::vector<double> density, uint64_t seed);

  bool keeps_everything(size_t input) const override { return density_[input] >= 1; }
  void thin(size_t worker, size_t input, uint64_t begin, double* difference, size_t n) const override;

 private:
  const std::vector<double> density_;
  std::vector<RandomNumbers> random_;
};

}  // namespace branchmerge
