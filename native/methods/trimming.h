#pragma once
#include <vector>

#include "methods/thinning.h"

namespace branchmerge {

/// Drops the differences of largest and smallest magnitude (docs/methods/breadcrumbs.md; ties.md is the same
/// with none dropped from the top).
class Trimming final : public Thinning {
 public:
  /// Of each input: the fraction of its elements that is kept, and that which is dropped from the top.
  Trimming(std::vector<double> density, std::vector<double> top);

  void prepare(Passes& passes) override;
  bool keeps_everything(size_t input) const override;
  void thin(size_t worker, size_t input, uint64_t begin, double* difference, size_t n) const override;

 private:
  /// Magnitudes that are kept, limits included.
  struct Band {
    double least, most;
  };
  static Band find_band(Passes& passes, size_t input, double density, double top);

  const std::vector<double> density_, top_;
  std::vector<Band> bands_;
};

}  // namespace branchmerge
