#pragma once
// The CUDA kernels of Arcee Fusion as host code sees them: one table for each storage type and working
// precision. Every function puts its work into a stream, on the current device, and throws what the launch
// answers. docs/cuda.md tells how they are built and what they read.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "fusion/options.h"
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

/// A counting of keys by `bits` of them: of those whose leading bits are a prefix.
inline constexpr int kMaxDigitBits = 11, kMaxDigitBins = 1 << kMaxDigitBits, kMaxPrefixes = 6;
struct Digits {
  int prefixes = 0;
  int shift = 0, bits = 0;  // key bits below those that are counted, and how many are
  uint64_t prefix[kMaxPrefixes] = {};
  unsigned long long* counts = nullptr;  // kMaxDigitBins for each prefix
};

/// Intervals (low, high] that should hold one quartile each. Every block of the launch has room of its own
/// for the scores within: block b's of interval j begin at inside[(j·blocks + b)·capacity], and
/// sizes[j·blocks + b] of them were met, of which only the first `capacity` are there.
inline constexpr int kMaxBrackets = 3;
template <class Real>
struct Brackets {
  int count = 0;
  Real low[kMaxBrackets] = {}, high[kMaxBrackets] = {};
  unsigned long long* at_most_low = nullptr;  // one an interval: scores <= low
  Real* inside = nullptr;
  unsigned* sizes = nullptr;
  unsigned capacity = 0;
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
  /// Blocks that analyse_rows would start, for Brackets.
  unsigned (*row_blocks)(const RowsTask<Real>& task);
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

/// Counts the keys of values that brackets kept: `blocks` runs, of sizes[b] values, at most `capacity`, each.
template <class Real>
void count_values(const Real* values, const unsigned* sizes, unsigned blocks, unsigned capacity,
                  const Digits& digits, cudaStream_t stream);
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
