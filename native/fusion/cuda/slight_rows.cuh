#pragma once
// The quick kernel of analyse_rows: rows of small weights that differ little, which is what fine-tunes of one
// model are made of. A block takes one row at a time, a warp one segment of it, which it copies to shared
// memory itself: warps wait for each other only for the row's divergence. Rows that need another form are
// left over.
//
// Instructions bound it, not memory (docs/cuda.md). So what decides no bit of the result is done for two
// elements at a time, in halves of words, and the differences stay in registers for the scores.
#include <cuda_pipeline.h>

#include <algorithm>

#include "fusion/cuda/bf16_pairs.cuh"
#include "fusion/cuda/kernels.h"
#include "fusion/cuda/launch.h"
#include "fusion/cuda/row_passes.cuh"
#include "fusion/cuda/scoring.cuh"
#include "fusion/row_divergence.h"

namespace branchmerge::cuda {

/// Segments, and warps, of the longest rows.
inline constexpr unsigned kMaxSlightWarps = 32;
/// Rows consist of whole groups: four elements of every lane.
inline constexpr unsigned kGroup = 4 * kWarp, kGroups = kSegment / kGroup;
/// Words of two elements that a lane has in a segment.
inline constexpr unsigned kLaneWords = kSegment / kWarp / 2;

/// How a launch uses shared memory: sums, then `stages` row pairs.
struct SlightLayout {
  unsigned warps, stages, rows_at, side_bytes, bytes;
};

namespace {

/// What the warps of a block tell each other about a row.
struct SharedSlightRow {
  unsigned magnitude[kMaxSlightWarps];  // of each segment: bits of the largest |value|, as they are stored
  float difference[kMaxSlightWarps];    // of each segment: the largest |difference|
  bool serves, finite;
  float kl;
  unsigned low[kMaxBrackets], high[kMaxBrackets];  // pairs: bounds of differences
};

/// Of the elements that a thread has looked at.
template <class Format>
struct SegmentExtent {
  static constexpr bool kPairs = sizeof(typename Format::Stored) == 2;
  static constexpr unsigned kMagnitudes = unsigned(Format::kMagnitude) * (kPairs ? 0x10001u : 1u);
  unsigned magnitude = 0, difference = 0;

  /// Words as they are stored.
  __device__ __forceinline__ void look(unsigned left, unsigned right) {
    difference |= left ^ right;
    left &= kMagnitudes;
    right &= kMagnitudes;
    magnitude = kPairs ? __vmaxu2(magnitude, __vmaxu2(left, right))
                       : arithmetic::larger(magnitude, arithmetic::larger(left, right));
  }
  /// Bits of the warp's largest |value|.
  __device__ __forceinline__ unsigned largest() const {
    return largest_of_warp(kPairs ? arithmetic::larger(magnitude >> 16, magnitude & 0xffff) : magnitude);
  }
};

/// A warp's segment of a row. kWhole: it has kSegment elements, as those of most models' rows do, and nothing
/// is asked on the way.
template <class Format, bool kWhole>
class SlightSegment {
 public:
  using Stored = typename Format::Stored;

  /// n: elements of the row, a multiple of kGroup.
  __device__ __forceinline__ explicit SlightSegment(unsigned n)
      : at_(warp_index() * unsigned(kSegment)), size_(n - at_ < kSegment ? n - at_ : unsigned(kSegment)) {}

  __device__ __forceinline__ const Stored* in(const unsigned char* side) const {
    return reinterpret_cast<const Stored*>(side) + at_;
  }

  /// What this lane copies of a row first: rows begin at multiples of 16 bytes.
  __device__ __forceinline__ const unsigned char* first_of(const void* row) const {
    return static_cast<const unsigned char*>(row) + at_ * sizeof(Stored) + 16 * lane_index();
  }
  /// Begins to copy the segment.
  __device__ __forceinline__ void copy(unsigned char* side, const unsigned char* from) const {
    unsigned char* to = side + at_ * sizeof(Stored) + 16 * lane_index();
#pragma unroll
    for (unsigned i = 0; i < kSteps; i++)
      if (has_step(i)) __pipeline_memcpy_async(to + i * kStep, from + i * kStep, 16);
  }

  __device__ __forceinline__ SegmentExtent<Format> extent(const Stored* left, const Stored* right) const {
    SegmentExtent<Format> extent;
    const auto* l = reinterpret_cast<const uint4*>(left) + lane_index();
    const auto* r = reinterpret_cast<const uint4*>(right) + lane_index();
#pragma unroll
    for (unsigned i = 0; i < kSteps; i++) {
      if (!has_step(i)) continue;
      const uint4 a = l[i * kWarp], b = r[i * kWarp];
      extent.look(a.x, b.x);
      extent.look(a.y, b.y);
      extent.look(a.z, b.z);
      extent.look(a.w, b.w);
    }
    return extent;
  }

  /// Writes the sums of the slight form, and keeps the differences, rounded, in pairs. Returns this lane's
  /// largest |difference|. kUnreduced: no |value| exceeds kExpUnreduced.
  template <bool kUnreduced>
  __device__ __forceinline__ float add_up(const Stored* p, const Stored* q, double* sums) {
    float sum[kSlightSums] = {}, largest = 0;
#pragma unroll
    for (unsigned g = 0; g < kGroups; g++) {
      if (!has_group(g)) continue;
#pragma unroll
      for (unsigned w = 2 * g; w < 2 * g + 2; w++) {
        float difference[2];
#pragma unroll
        for (unsigned e = 0; e < 2; e++) {
          const unsigned i = (2 * w + e) * kWarp + lane_index();
          const arithmetic::SlightTerms<float> terms =
              arithmetic::slight_terms<kUnreduced>(float(Format::widen(p[i])), float(Format::widen(q[i])));
          add_slight_terms(terms, sum);
          difference[e] = terms.d;
          largest = fmaxf(largest, arithmetic::absolute(terms.d));
        }
        differences_[w] = rounded_pair(difference[0], difference[1]) & kMagnitudes;
      }
    }
    fold(sum, sums);
    return largest;
  }

  /// Elements of this lane whose values differ.
  __device__ __forceinline__ unsigned changed(const Stored* left, const Stored* right) const {
    int count = 0;
#pragma unroll
    for (unsigned w = 0; w < kLaneWords; w++) {
      if (!has_group(w / 2)) continue;
      if constexpr (sizeof(Stored) == 2) {
        // Numbers of 16 bits do not differ by so little that BF16 would round it to zero.
        count = count_halves(above(differences_[w], 0), count);
      } else {
#pragma unroll
        for (unsigned e = 0; e < 2; e++) {
          const unsigned i = (2 * w + e) * kWarp + lane_index();
          count += Format::widen(left[i]) != Format::widen(right[i]);
        }
      }
    }
    return unsigned(count);
  }

  /// Counts the scores below brackets, and collects those around them.
  __device__ __forceinline__ void collect(const Stored* left, const Stored* right, const SharedSlightRow& row,
                                          const Brackets<float>& brackets, WarpRun<float>& run) const {
    unsigned found = 0;  // bit w: the first element of word w; bit 16 + w: its second
    int below[kMaxBrackets] = {};
#pragma unroll
    for (unsigned w = 0; w < kLaneWords; w++) {
      if (!has_group(w / 2)) continue;
      unsigned inside = 0;
#pragma unroll
      for (int j = 0; j < kMaxBrackets; j++) {
        const unsigned low = at_most(differences_[w], row.low[j]);
        // What is collected around one bracket does not count as below the next.
        below[j] = count_halves(low & ~inside, below[j]);
        inside |= at_most(differences_[w], row.high[j]) & ~low;
      }
      found |= inside & 0x10001u << w;
    }
    for (unsigned to = run.reserve(unsigned(__popc(found))); found != 0; found &= found - 1, to++) {
      const unsigned bit = unsigned(__ffs(int(found))) - 1;
      const unsigned i = (bit < kLaneWords ? 2 * bit : 2 * bit - 2 * kLaneWords + 1) * kWarp + lane_index();
      const float x = Format::widen(left[i]), y = Format::widen(right[i]);
      run.put(brackets, to, arithmetic::score<false>(x, y, row.kl));
    }
#pragma unroll
    for (int j = 0; j < kMaxBrackets; j++) run.add_below(j, unsigned(below[j]));
  }

  __device__ __forceinline__ void sample(const Stored* left, const Stored* right, uint64_t row, float kl,
                                         const Sample& sample) const {
    unsigned* counts = group_counts(sample, row);
    for (unsigned i = first_sampled(sample, row) + lane_index() * sample.one_in; i < size_;
         i += kWarp * sample.one_in)
      count_sampled(counts, arithmetic::score<false>(float(Format::widen(left[i])),
                                                     float(Format::widen(right[i])), kl));
  }

 private:
  /// Bytes that a warp takes in one go, and how often that makes a segment.
  static constexpr unsigned kStep = 16 * kWarp, kSteps = kSegment * sizeof(Stored) / kStep;

  static constexpr unsigned kMagnitudes = 0x7fff7fff;

  __device__ __forceinline__ bool has_step(unsigned i) const {
    return kWhole || i * kStep + 16 * lane_index() < size_ * unsigned(sizeof(Stored));
  }
  __device__ __forceinline__ bool has_group(unsigned g) const { return kWhole || g < size_ / kGroup; }

  /// Folds the lanes by halves, as fold_lanes does, but four sums at a time: after each step half as many
  /// lanes hold one of them.
  static __device__ __forceinline__ void fold(const float (&sum)[kSlightSums], double* sums) {
    const unsigned lane = lane_index();
    const auto fold_two = [&](float first, float second, unsigned width) {
      const bool upper = (lane & width) != 0;
      return (upper ? second : first) + __shfl_xor_sync(kWholeWarp, upper ? first : second, int(width));
    };
    float four = fold_two(fold_two(sum[0], sum[1], 16), fold_two(sum[2], sum[3], 16), 8);
#pragma unroll
    for (unsigned width = 4; width > 0; width /= 2) four += __shfl_xor_sync(kWholeWarp, four, int(width));
    const float last = fold_lanes(sum[4]);
    if (lane % 8 == 0) sums[lane / 16 + (lane & 8) / 4] = double(four);
    if (lane == 0) sums[4] = double(last);
  }

  const unsigned at_, size_;
  unsigned differences_[kLaneWords] = {};  // of this lane: pairs
};

/// Bounds of a row's differences, as pairs: those at most the first have scores at most `low`, and those
/// above the second have scores of at least `high`. The margin is more than all roundings on the way.
__device__ __forceinline__ unsigned difference_below(float low, float kl) {
  return kl == 0 ? rounded_pair(HUGE_VALF, HUGE_VALF) : pair_before(low / kl * (1 - 0x1p-20f));
}
__device__ __forceinline__ unsigned difference_above(float high, float kl) {
  const float bound = high / kl * (1 + 0x1p-20f);
  return rounded_pair(bound, bound);
}

/// The row's divergence, and its bounds, from what the warps found: by the first warp.
template <class Format>
__device__ __forceinline__ void finish_slight_row(const RowsTask<float>& task, const double* sums,
                                                  SharedSlightRow& shared, RowNotes& notes, uint64_t row) {
  const unsigned n = task.row_length, warps = blockDim.x / kWarp, lane = lane_index();
  const unsigned magnitude = largest_of_warp(lane < warps ? shared.magnitude[lane] : 0);
  Extent<float> extent{};
  extent.max_magnitude = Format::widen(magnitude);
  extent.max_difference = largest_of_warp(lane < warps ? shared.difference[lane] : 0);
  const bool finite = magnitude < Format::kInfinity;
  // Lane i adds up sum i; then every lane has all of them.
  double total = 0, totals[kSlightSums];
  if (lane < kSlightSums)
    for (unsigned s = 0; s < segments_of(n); s++) total += sums[kSlightSums * s + lane];
#pragma unroll
  for (unsigned i = 0; i < kSlightSums; i++) totals[i] = __shfl_sync(kWholeWarp, total, int(i));
  const auto slight = RowDivergence<float>(task.epsilon).slight(extent, n, totals);
  if (lane < kMaxBrackets && task.scoring == Scoring::kBrackets) {
    shared.low[lane] = difference_below(task.brackets.state->low[lane], slight.kl);
    shared.high[lane] = difference_above(task.brackets.state->high[lane], slight.kl);
  }
  if (lane != 0) return;
  shared.finite = finite;
  shared.serves = slight.serves & finite;
  shared.kl = slight.kl;
  if (shared.serves) {
    task.kl[row * task.every] = slight.kl;
    notes.note_score(double(slight.kl) * double(extent.max_difference));
  } else if (finite) {
    task.left_over[1 + atomicAdd(task.left_over, 1u)] = unsigned(row);
  } else {
    task.kl[row * task.every] = 0;
    notes.non_finite = 1;
  }
}

template <class Format, bool kWhole>
__global__ void __launch_bounds__(kMaxSlightWarps* kWarp)
    slight_rows_kernel(const __grid_constant__ RowsTask<float> task, const SlightLayout layout) {
  using Stored = typename Format::Stored;
  BRANCHMERGE_DYNAMIC_SHARED(memory);
  BRANCHMERGE_SHARED(SharedSlightRow, shared);
  double* sums = reinterpret_cast<double*>(memory);
  const bool collects = task.scoring == Scoring::kBrackets && task.brackets.state->placed;
  WarpRun<float> run(task.brackets, collects);
  RowNotes notes;

  SlightSegment<Format, kWhole> segment(task.row_length);
  // The side of a stage: 0 for Left, 1 for Right.
  const auto side_of = [&](unsigned stage, unsigned side) {
    return memory + layout.rows_at + (2 * stage + side) * layout.side_bytes;
  };
  const uint64_t row_bytes = task.every * task.row_length * sizeof(Stored);
  const unsigned char* next_left = segment.first_of(task.left) + blockIdx.x * row_bytes;
  const int64_t to_right =
      static_cast<const unsigned char*>(task.right) - static_cast<const unsigned char*>(task.left);
  const auto begin_stage = [&](unsigned stage, uint64_t row) {
    if (row < task.rows) {
      segment.copy(side_of(stage, 0), next_left);
      segment.copy(side_of(stage, 1), next_left + to_right);
    }
    next_left += gridDim.x * row_bytes;
    __pipeline_commit();
  };

  unsigned stage = 0;
  const bool ahead = layout.stages == 2;
  begin_stage(0, blockIdx.x);
  for (uint64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    if (ahead) begin_stage(1 - stage, row + gridDim.x);
    __pipeline_wait_prior(ahead ? 1 : 0);
    __syncwarp();

    const Stored *left = segment.in(side_of(stage, 0)), *right = segment.in(side_of(stage, 1));
    const Stored *p = segment.in(side_of(stage, task.right_is_p)),
                 *q = segment.in(side_of(stage, !task.right_is_p));
    const SegmentExtent<Format> extent = segment.extent(left, right);
    const unsigned magnitude = extent.largest();
    double* own_sums = sums + kSlightSums * warp_index();
    const bool unreduced = Format::widen(magnitude) <= arithmetic::Constants<float>::kExpUnreduced;
    const float difference = largest_of_warp(unreduced ? segment.template add_up<true>(p, q, own_sums)
                                                       : segment.template add_up<false>(p, q, own_sums));
    if (lane_index() == 0) {
      shared.magnitude[warp_index()] = magnitude;
      shared.difference[warp_index()] = difference;
    }
    __syncthreads();
    if (warp_index() == 0) finish_slight_row<Format>(task, sums, shared, notes, row);
    __syncthreads();

    if (shared.serves) {
      notes.bits_differ |= extent.difference;
      notes.changed += segment.changed(left, right);
      if (collects) segment.collect(left, right, shared, task.brackets, run);
      if (task.scoring == Scoring::kSample) segment.sample(left, right, row, shared.kl, task.sample);
    }
    // All lanes are done with what the next copies overwrite.
    __syncwarp();
    if (ahead)
      stage = 1 - stage;
    else
      begin_stage(0, row + gridDim.x);
  }
  if (task.summary != nullptr) notes.finish(task.summary);
  if (collects) run.finish(task.brackets);
}

template <class Format>
auto slight_kernel(const RowsTask<float>& task) {
  return task.row_length % kSegment == 0 ? slight_rows_kernel<Format, true>
                                         : slight_rows_kernel<Format, false>;
}

/// What a launch for the task uses, where this kernel serves it; no warps where it does not.
template <class Format>
SlightLayout slight_layout(const RowsTask<float>& task) {
  constexpr size_t kSize = sizeof(typename Format::Stored);
  SlightLayout layout{};
  const bool scores = task.scoring == Scoring::kBrackets || task.scoring == Scoring::kSample;
  const auto aligned = [](const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; };
  if (task.left_over == nullptr || !scores || task.row_length % kGroup != 0 ||
      task.row_length > kMaxSlightWarps * kSegment || !aligned(task.left) || !aligned(task.right))
    return layout;
  layout.rows_at = unsigned((sizeof(double) * kSlightSums * segments_of(task.row_length) + 15) / 16 * 16);
  layout.side_bytes = unsigned(task.row_length * kSize);
  const size_t limit = allow_shared_memory(slight_kernel<Format>(task), sizeof(SharedSlightRow));
  for (unsigned stages = 2; stages > 0 && layout.warps == 0; stages--) {
    layout.stages = stages;
    layout.bytes = layout.rows_at + 2 * stages * layout.side_bytes;
    if (layout.bytes <= limit) layout.warps = unsigned(segments_of(task.row_length));
  }
  return layout;
}

template <class Format>
unsigned slight_blocks(const RowsTask<float>& task, const SlightLayout& layout) {
  const uint64_t blocks = resident_blocks(slight_kernel<Format>(task), layout.warps * kWarp, layout.bytes);
  return unsigned(std::min(within_runs(blocks, task.brackets), task.rows));
}

template <class Format>
void analyse_slight_rows(const RowsTask<float>& task, const SlightLayout& layout, cudaStream_t stream) {
  check(cudaMemsetAsync(task.left_over, 0, sizeof *task.left_over, stream), "clear memory");
  launch("analyse rows that differ little", slight_kernel<Format>(task), slight_blocks<Format>(task, layout),
         layout.warps * kWarp, layout.bytes, stream, task, layout);
}

}  // namespace
}  // namespace branchmerge::cuda
