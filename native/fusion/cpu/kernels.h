#pragma once
// The CPU kernels of Arcee Fusion, one table for each instruction set, storage type and working precision.
// Each works on a run of consecutive elements of one row of Left and one of Right; docs/reproducibility.md
// tells why every table gives the same bits.
#include <cstddef>
#include <cstdint>

#include "fusion/row_sums.h"

namespace branchmerge::cpu {

/// How an element's score comes from the pair, and where the gate stands.
template <class Real>
struct ScoreOptions {
  bool is_signed;
  bool changed_only;  // unchanged elements are never taken
};

/// One pass of refinement: for each target, counts elements whose key begins with `prefix`.
inline constexpr int kMaxTargets = 6;
struct Refinement {
  int targets;
  int shift;  // key bits below the 16 that are counted now
  uint64_t prefix[kMaxTargets];
  uint32_t* counts[kMaxTargets];  // 65536 each
};

inline constexpr size_t kHistogramBins = 65536;

/// Intervals (low, high] that should hold one quartile each, and what one worker found in them.
inline constexpr int kMaxBrackets = 3;
/// A vector is stored whole, however few of its scores are wanted.
inline constexpr size_t kBracketSlack = kLanes;
template <class Real>
struct Brackets {
  int count;
  Real low[kMaxBrackets], high[kMaxBrackets];
  uint64_t at_most_low[kMaxBrackets];  // scores <= low
  Real* inside[kMaxBrackets];          // the scores within, in no particular order
  size_t inside_size[kMaxBrackets];
  // Of each `inside`, which has room for kBracketSlack more; a full one stops growing, but its size goes on
  // to count.
  size_t capacity;
};

template <class Real>
struct Kernels {
  using Bytes = const unsigned char*;

  Extent<Real> (*extent)(Bytes left, Bytes right, size_t n);
  // The slight form's single pass: kSlightSums a segment.
  Extent<Real> (*slight_sums)(Bytes p, Bytes q, size_t n, double* sums);
  // The passes of the other forms, by Pass: two sums a segment, or one.
  void (*passes[kPasses])(Bytes p, Bytes q, size_t n, const RowConstants<Real>& row, double* sums);

  // out[i]: the score of element offsets[i].
  void (*sample)(Bytes left, Bytes right, const uint32_t* offsets, size_t count, Real kl, bool is_signed,
                 Real* out);
  // Scores are not negative here.
  void (*bracket)(Bytes left, Bytes right, size_t n, Real kl, Brackets<Real>& brackets);
  // counts: 2 interleaved tables of kHistogramBins (even and odd lanes), indexed 2·(key >> top) + lane mod 2.
  // Returns how many scores are below zero.
  uint64_t (*histogram)(Bytes left, Bytes right, size_t n, Real kl, bool is_signed, uint32_t* counts);
  void (*refine)(Bytes left, Bytes right, size_t n, Real kl, bool is_signed, const Refinement& refinement);

  // Right where score >= threshold, Left elsewhere, bit for bit; returns how many are Right's.
  uint64_t (*hard_gate)(Bytes left, Bytes right, size_t n, Real kl, ScoreOptions<Real> options,
                        Real threshold, unsigned char* out);
  // L + (R − L)·max(0, S − threshold); returns how many scores are above the threshold. Float64 only.
  uint64_t (*soft_gate)(Bytes left, Bytes right, size_t n, Real kl, ScoreOptions<Real> options,
                        double threshold, double* out);
};

enum class Storage : uint8_t { kBF16, kF16, kF32, kF64 };
inline constexpr int kStorages = 4;

/// All tables of one instruction set. singles[kF64] is empty: F64 is computed in float64.
struct InstructionSet {
  const char* name;
  Kernels<float> singles[kStorages];
  Kernels<double> doubles[kStorages];
};

/// The best that this CPU runs; a name ("scalar", "avx2", "avx512") gives that one, or nullptr when this CPU
/// or build lacks it.
const InstructionSet& best_instruction_set();
const InstructionSet* instruction_set(const char* name);

}  // namespace branchmerge::cpu
