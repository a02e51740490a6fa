#pragma once
#include <cmath>
#include <cstddef>
#include <vector>

#include "methods/keep_if.h"
#include "methods/operand_tiles.h"

namespace branchmerge {

/// sums[i] = Σ_m votes[m][i], added in order to 0: an element's elected sign is + where that is 0 or more.
inline void sum_votes(double* const* votes, size_t inputs, size_t n, double* sums) {
  for (size_t i = 0; i < n; i++) sums[i] = 0;
  for (size_t m = 0; m < inputs; m++)
    for (size_t i = 0; i < n; i++) sums[i] += votes[m][i];
}

/// Of the inputs that agree with the elected sign, for each element of a tile.
struct Agreement {
  double sum[kTile];         // Σ factor·vote
  double weight[kTile];      // Σ weight
  double magnitudes[kTile];  // Σ |weight|
};

/// docs/methods/README.md, Election. A vote of 0 agrees with neither sign. factors: of the votes, in the sum.
inline void find_agreement(double* const* votes, const std::vector<double>& weights,
                           const std::vector<double>& factors, size_t n, const double* sums,
                           Agreement& agreement) {
  for (size_t i = 0; i < n; i++) agreement.sum[i] = agreement.weight[i] = agreement.magnitudes[i] = 0;
  for (size_t m = 0; m < weights.size(); m++) {
    const double weight = weights[m], magnitude = std::fabs(weight), factor = factors[m];
    const double* vote = votes[m];
    for (size_t i = 0; i < n; i++) {
      const bool agrees = (sums[i] < 0 ? -vote[i] : vote[i]) > 0;
      agreement.sum[i] += keep_if(agrees, factor * vote[i]);
      agreement.weight[i] += keep_if(agrees, weight);
      agreement.magnitudes[i] += keep_if(agrees, magnitude);
    }
  }
}

}  // namespace branchmerge
