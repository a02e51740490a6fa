#pragma once
// The CUDA kernels of Arcee Fusion as host code sees them: one table for each storage type and working
// precision. Every function puts its work into a stream, on the current device, and throws what the launch
// answers. docs/cuda.md tells how they are built and what they read.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "fusion/options.h"
#include "fusion/quartiles.h"
#include "fusion/row_sums.h"
#include "tensor/dtype.h"

namespace branchmerge::cuda {

/// What a look at all elements tells, in device memory. Zero to begin with; kernels combine what they find
/// into it.
struct Summary {
  unsigned non_finite, bits_differ;
  unsigned long long changed;
  unsigned long long largest_score;  // bits of a float64 that is not negative; infinity where scores overflow
};

/// The extent of a row that several launches look at. Order keys and bits, so that the largest can be found
/// by integer atomics. Zero to begin with.
struct RowExtent {
  unsigned long long max_left, max_right;            // order keys
  unsigned long long max_magnitude, max_difference;  // bits of numbers that are not negative
};

/// Brackets, one a quartile, and the elements that quartiles are made of: two each, to interpolate.
inline constexpr int kMaxBrackets = 3, kQuartileElements = 2 * kMaxBrackets;

/// A counting of keys by `bits` of them: of those whose leading bits are a prefix.
inline constexpr int kMaxDigitBits = 11, kMaxDigitBins = 1 << kMaxDigitBits, kMaxPrefixes = kQuartileElements;
struct Digits {
  int prefixes = 0;
  int shift = 0, bits = 0;  // key bits below those that are counted, and how many are
  uint64_t prefix[kMaxPrefixes] = {};
  unsigned long long* counts = nullptr;  // kMaxDigitBins for each prefix
};

/// Intervals (low, high] that should hold one quartile each, and what was met of the scores around them. In
/// device memory, zero to begin with: place_brackets places them, analyse_rows fills them, select_quartiles
/// looks the quartiles up.
///
/// Every score is either collected, or known to lie below a bracket's `high` or above its `low`: one that
/// counts as below interval j, and is not collected, is <= low[j]; one that neither counts nor is collected
/// is >= high[j].
template <class Real>
struct BracketState {
  unsigned placed;                             // whether a sample promised them to be narrow enough
  unsigned overflowed;                         // whether a run had no room for all
  Real low[kMaxBrackets], high[kMaxBrackets];  // ascending
  unsigned long long below[kMaxBrackets];
  unsigned long long collected;
};

/// Where scores are collected: in runs, one for each warp. Run r begins at scores[r·capacity]; sizes[r] of
/// them were met, of which only the first `capacity` are there. Sizes are zero to begin with.
template <class Real>
struct Brackets {
  BracketState<Real>* state = nullptr;
  Real* scores = nullptr;
  unsigned* sizes = nullptr;
  unsigned runs = 0, runs_per_block = 0, capacity = 0;
};

/// Runs of a launch of analyse_rows.
struct BracketRuns {
  unsigned blocks, per_block;
};

/// The quartiles of collected scores, as they are looked up: 11 bits of the key at a time. In device memory,
/// zero to begin with.
template <class Real>
struct Selection {
  unsigned failed;  // a quartile is not among the collected ones
  Digits digits;    // what the next round counts
  struct Target {
    unsigned wanted;          // 0: an unchanged element, whose score is zero
    unsigned slot;            // its prefix
    unsigned long long rank;  // among the scores with that prefix
    Real value;
  } targets[kQuartileElements];  // 2·quartile + (1 for the element after it)
};

/// Counts of the leading kSampleBits, below the sign, of some scores that are not negative, as float32. The
/// rows are dealt out to groups with counts of their own, whose differences tell how far to trust the sample.
inline constexpr int kSampleBits = 12, kSampleBins = 1 << kSampleBits, kSampleGroups = 16;
struct Sample {
  unsigned* counts = nullptr;  // kSampleBins for each group
  unsigned one_in = 1;         // elements of a row
};

/// What is done with the scores of a row that is at hand.
enum class Scoring : uint8_t { kNone, kDigits, kBrackets, kSample };

/// Whole rows.
template <class Real>
struct RowsTask {
  const void *left = nullptr, *right = nullptr;  // the first row
  uint64_t rows = 0, every = 1;                  // how many, and how far apart: 1 is next to each other
  unsigned row_length = 0;
  Real* kl = nullptr;          // of the first row; they are `every` apart, too
  Summary* summary = nullptr;  // or nullptr
  double epsilon = 0;
  bool right_is_p = false, is_signed = false;
  bool largest_is_difference = false;  // largest_score is that of the differences alone
  Scoring scoring = Scoring::kNone;
  Digits digits{};
  Brackets<Real> brackets{};
  Sample sample{};
  /// Room for a count and `rows` numbers: rows that the quick kernel for slight differences leaves to the
  /// general one. Without it that kernel is not used.
  unsigned* left_over = nullptr;
};

/// Elements, in order, and the divergences of their rows.
template <class Real>
struct ScoresTask {
  const void *left = nullptr, *right = nullptr;
  uint64_t elements = 0;       // at most kMaxElementsAtOnce
  const Real* kl = nullptr;    // of the first element's row
  unsigned row_length = 0;     // 0: all elements have the first one's divergence
  unsigned offset_in_row = 0;  // of the first element
  bool is_signed = false;
};
inline constexpr uint64_t kMaxElementsAtOnce = uint64_t(1) << 30;

template <class Real>
struct GateTask {
  ScoresTask<Real> scores;
  bool changed_only = false;
  Real least = 0;        // hard: what a score must reach
  double threshold = 0;  // soft
  void* out = nullptr;   // may be scores.left where the dtypes are the same
  DType output_dtype{};
  unsigned long long* taken = nullptr;  // the elements of Right are added, unless it is nullptr
};

template <class Real>
struct DeviceKernels {
  /// What analyse_rows would start for a task with brackets.
  BracketRuns (*bracket_runs)(const RowsTask<Real>& task);
  /// The divergence of every row and what the scoring asks for, in one read of the pair: rows of up to
  /// kLongRow elements.
  void (*analyse_rows)(const RowsTask<Real>& task, cudaStream_t stream);

  /// The extent of n elements; `row` may be nullptr.
  void (*extent)(const void* left, const void* right, uint64_t n, bool largest_is_difference,
                 Summary* summary, RowExtent* row, cudaStream_t stream);
  /// The sums of one pass over n elements that begin a segment: two or one a segment.
  void (*pass)(Pass pass, const void* p, const void* q, uint64_t n, const RowConstants<Real>& row,
               double* sums, cudaStream_t stream);
  /// kSlightSums a segment.
  void (*slight_sums)(const void* p, const void* q, uint64_t n, double* sums, cudaStream_t stream);

  void (*count_scores)(const ScoresTask<Real>& task, const Digits& digits, cudaStream_t stream);
  void (*hard_gate)(const GateTask<Real>& task, cudaStream_t stream);
  /// Float64 only.
  void (*soft_gate)(const GateTask<Real>& task, cudaStream_t stream);

  /// The least 2·index + (0 for Left, 1 for Right) + `base` of an element that is not finite, into *first.
  void (*find_non_finite)(const void* left, const void* right, uint64_t n, unsigned long long base,
                          unsigned long long* first, cudaStream_t stream);
  /// n elements of `dtype` into another. NaN becomes what the CPU makes of it.
  void (*convert)(const void* in, uint64_t n, DType to, void* out, cudaStream_t stream);
};

/// How brackets are placed.
struct Placing {
  bool changed_only = false;  // FusionOptions::population
  double widest = 0;          // share of the scores that may lie in a bracket
};
/// Places brackets where a sample lets the quartiles be expected, or leaves them unplaced.
template <class Real>
void place_brackets(const unsigned* sample_counts, const Placing& placing, BracketState<Real>* state,
                    cudaStream_t stream);

/// Looks up the quartiles among the collected scores; the population's `changed` is taken from the summary.
/// `counts`: kMaxDigitBins for each of kQuartileElements, zero to begin with, and in the end.
template <class Real>
void select_quartiles(const Brackets<Real>& brackets, const QuartilePopulation& population,
                      const Summary* summary, unsigned long long* counts, Selection<Real>* selection,
                      cudaStream_t stream);

/// *counter += amount, in its turn.
void add_to(unsigned long long* counter, unsigned long long amount, cudaStream_t stream);

// One .cu file each, so that a build can compile them side by side.
DeviceKernels<float> bf16_kernels_in_float32();
DeviceKernels<float> f16_kernels_in_float32();
DeviceKernels<float> f32_kernels_in_float32();
DeviceKernels<double> bf16_kernels_in_float64();
DeviceKernels<double> f16_kernels_in_float64();
DeviceKernels<double> f32_kernels_in_float64();
DeviceKernels<double> f64_kernels_in_float64();

}  // namespace branchmerge::cuda
