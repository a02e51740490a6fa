#pragma once
#include <algorithm>
#include <cstdint>

#include "fusion/threshold.h"

namespace branchmerge::cuda {

// Which rows are looked at beforehand, to place brackets around the quartiles of a tensor's scores. With them
// one pass both finds the divergences and collects what settles the quartiles. They decide how much is to be
// done, never what comes out (docs/cuda.md).

/// Whether a tensor has rows enough to sample some.
inline bool sampling_pays(const RowShape& shape) {
  constexpr uint64_t kMinElements = 1 << 16, kMinRows = 160;
  return shape.elements > kMinElements && shape.rows() >= kMinRows && shape.rows() < UINT32_MAX;
}

/// Rows first, first + every, …: one in 5 to 31, an odd number lest they all fall on the same place of
/// attention heads.
struct SampledRows {
  explicit SampledRows(const RowShape& shape) {
    constexpr uint64_t kWantedRows = 768,
                       kMostScores = 1 << 20;  // more would only wait for the same counters
    every = std::clamp<uint64_t>(shape.rows() / kWantedRows, 5, 31) | 1;
    first = every / 2;
    count = (shape.rows() - first + every - 1) / every;
    one_in = unsigned(std::max<uint64_t>(1, count * shape.row_length / kMostScores));
  }
  uint64_t first, every, count;
  unsigned one_in;  // elements of a row
};

/// Room for what is collected: a quarter of the tensor's scores, as float32.
inline size_t collected_bytes(const RowShape& shape) { return sizeof(float) * (shape.elements / 4 + 1); }
/// The share of the float32 scores that a bracket may hold: half of the room, since warps do not meet the
/// same number of them.
inline constexpr double kWidestBracket = 1.0 / 24;

}  // namespace branchmerge::cuda
