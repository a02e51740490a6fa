#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "fusion/options.h"

namespace branchmerge {

struct Quartiles {
  double q1 = 0, median = 0, q3 = 0;
};

/// The order statistics that the quartiles of a tensor's scores need, as ranks among the scores of all
/// elements.
class QuartileRanks {
 public:
  /// changed: elements whose values differ; below_zero: scores below zero, needed for Population::kChanged
  /// alone.
  QuartileRanks(const FusionOptions& options, uint64_t elements, uint64_t changed, uint64_t below_zero);

  /// One quartile: the element at its rank and, to interpolate, the next.
  struct Target {
    uint64_t rank[2];
    double value[2] = {0, 0};
    bool is_zero[2];  // an unchanged element: no need to look for it
  };
  std::array<Target, 3>& targets() { return targets_; }

  /// Those that have to be looked for, in ascending order, and where their values go.
  std::vector<uint64_t> wanted() const;
  void set_wanted(const std::vector<double>& values);

  /// From the values found. Nothing where one may have lost digits to float32's range.
  std::optional<Quartiles> quartiles(bool in_float32) const;

 private:
  double fraction(uint64_t k) const;

  bool linear_;
  uint64_t population_;
  std::array<Target, 3> targets_;
};

}  // namespace branchmerge
