#pragma once
#include <cmath>
#include <cstddef>

namespace branchmerge {

/// The elected sign of an element is + where its votes sum to 0 or more (docs/methods/README.md, Election). A
/// vote of 0 agrees with neither sign.
inline bool agrees(double vote, double sum_of_votes) { return sum_of_votes >= 0 ? vote > 0 : vote < 0; }

/// sums[i] = Σ_m votes[m][i], added in order to 0.
inline void sum_votes(double* const* votes, size_t inputs, size_t n, double* sums) {
  for (size_t i = 0; i < n; i++) sums[i] = 0;
  for (size_t m = 0; m < inputs; m++)
    for (size_t i = 0; i < n; i++) sums[i] += votes[m][i];
}

}  // namespace branchmerge
