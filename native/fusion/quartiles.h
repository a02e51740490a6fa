#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/host_device.h"
#include "fusion/options.h"

namespace branchmerge {

struct Quartiles {
  double q1 = 0, median = 0, q3 = 0;
};

/// What quartiles are taken of.
struct QuartilePopulation {
  bool changed_only = false, linear = false;  // FusionOptions::population, ::quantile
  uint64_t elements = 0;
  uint64_t changed = 0;     // elements whose values differ
  uint64_t below_zero = 0;  // scores below zero, needed for changed_only alone

  BRANCHMERGE_HOST_DEVICE uint64_t size() const { return changed_only ? changed : elements; }
};

inline QuartilePopulation quartile_population(const FusionOptions& options, uint64_t elements,
                                              uint64_t changed, uint64_t below_zero) {
  return {options.population == Population::kChanged, options.quantile == Quantile::kLinear, elements,
          changed, below_zero};
}

/// An order statistic of the scores of all elements.
struct RankedElement {
  uint64_t rank;
  bool is_zero;  // an unchanged element: no need to look for it
};

/// The element at a quartile's rank, or the one `after` it, to interpolate. quartile: 1, 2 or 3; the
/// population is not empty. Host and device.
BRANCHMERGE_HOST_DEVICE inline RankedElement ranked_element(const QuartilePopulation& population,
                                                            unsigned quartile, bool after) {
  // floor(quartile/4·(n − 1)), in integers: exact at every size.
  const uint64_t last = population.size() - 1;
  uint64_t rank = last / 4 * quartile + last % 4 * quartile / 4;
  if (after && population.linear && rank < last) rank++;
  // The unchanged ones score zero, and lie between the scores below zero and the rest.
  const uint64_t unchanged = population.elements - population.changed, below_zero = population.below_zero;
  if (population.changed_only && rank >= below_zero) rank += unchanged;
  return {rank, rank >= below_zero && rank - below_zero < unchanged};
}

/// The order statistics that the quartiles of a tensor's scores need, as ranks among the scores of all
/// elements.
class QuartileRanks {
 public:
  /// changed: elements whose values differ; below_zero: scores below zero, needed for Population::kChanged
  /// alone.
  QuartileRanks(const FusionOptions& options, uint64_t elements, uint64_t changed, uint64_t below_zero)
      : QuartileRanks(quartile_population(options, elements, changed, below_zero)) {}

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
  explicit QuartileRanks(const QuartilePopulation& population);
  double fraction(uint64_t k) const;

  QuartilePopulation population_;
  std::array<Target, 3> targets_;
};

}  // namespace branchmerge
