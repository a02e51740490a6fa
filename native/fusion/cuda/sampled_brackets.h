#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "fusion/options.h"
#include "fusion/threshold.h"

namespace branchmerge::cuda {

// Brackets around the quartiles of a tensor's scores, from whole rows taken as a sample: with them one pass
// both finds the divergences and settles the quartiles. They decide how much is to be done, never what comes
// out (docs/cuda.md).

/// Whether a tensor has rows enough to sample some.
bool sampling_pays(const RowShape& shape);

/// Rows first, first + every, …: one in 5 to 31, an odd number lest they all fall on the same place of
/// attention heads.
struct SampledRows {
  explicit SampledRows(const RowShape& shape);
  uint64_t first, every, count;
  unsigned one_in;  // elements of a row
};

/// Memory for the scores inside of three brackets: a twelfth of the tensor each, as float32.
size_t bracket_bytes(const RowShape& shape);

struct SampledBrackets {
  std::array<double, 3> low, high;  // (low, high] of each quartile
};
/// From the counts of Sample. Nothing where the brackets would not be narrow enough for bracket_bytes with
/// scores of `score_bytes`.
std::optional<SampledBrackets> sampled_brackets(const std::vector<unsigned>& counts,
                                                const FusionOptions& options, size_t score_bytes);

}  // namespace branchmerge::cuda
