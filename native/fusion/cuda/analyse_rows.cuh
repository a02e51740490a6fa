#pragma once
// The divergence of every row, and what the scoring asks for, in one read of the pair. The general kernel:
// every form, any length, any alignment. A block takes one row at a time and a warp one segment of it at a
// time. The row pair is copied into shared memory, where all later passes find it, while the block still
// computes the row before; rows that do not fit there are read again from the L2 cache.
#include <cuda_pipeline.h>

#include <algorithm>

#include "fusion/cuda/kernels.h"
#include "fusion/cuda/launch.h"
#include "fusion/cuda/row_passes.cuh"
#include "fusion/cuda/scoring.cuh"
#include "fusion/row_divergence.h"

namespace branchmerge::cuda {

/// At most 16 warps a block: at the 64 registers that a thread needs, two such blocks fill a multiprocessor,
/// and one can wait for memory while the other computes.
inline constexpr unsigned kMaxRowWarps = 16;

/// How a launch uses shared memory: sums, counts of digits, then `stages` row pairs.
struct RowLayout {
  unsigned warps, stages;
  unsigned counts_at, rows_at, side_bytes;  // bytes from the start; of one side of a stage
  unsigned bytes;
};

namespace {

/// What the threads of a block tell each other about a row.
template <class Real>
struct SharedRow {
  Extent<Real> extents[kMaxRowWarps];  // of each warp's segments
  Extent<Real> extent;
  typename RowDivergence<Real>::Slight slight;
};

/// Where a row lies in its side of a stage: at the same offset from a multiple of 16 as in global memory.
template <class Stored>
__device__ __forceinline__ Stored* staged_at(unsigned char* side, const Stored* row) {
  return reinterpret_cast<Stored*>(side + reinterpret_cast<uintptr_t>(row) % 16);
}

/// Copies a row to shared memory: the greater part by asynchronous copies of 16 bytes, the rest at once.
template <class Stored>
__device__ __forceinline__ void stage_row(unsigned char* side, const Stored* row, unsigned n) {
  constexpr unsigned kVector = 16 / sizeof(Stored);
  const unsigned until_aligned =
      unsigned((16 - reinterpret_cast<uintptr_t>(row) % 16) % 16) / unsigned(sizeof(Stored));
  const unsigned head = until_aligned < n ? until_aligned : n;
  const unsigned vectors = (n - head) / kVector, tail = head + vectors * kVector;
  Stored* to = staged_at(side, row);
  for (unsigned v = threadIdx.x; v < vectors; v += blockDim.x)
    __pipeline_memcpy_async(to + head + v * kVector, row + head + v * kVector, 16);
  for (unsigned i = threadIdx.x; i < head; i += blockDim.x) to[i] = row[i];
  for (unsigned i = tail + threadIdx.x; i < n; i += blockDim.x) to[i] = row[i];
}

template <class Real>
__device__ __forceinline__ Extent<Real> combine(const Extent<Real>* parts, unsigned n) {
  Extent<Real> whole = parts[0];
  for (unsigned i = 1; i < n; i++) {
    const Extent<Real>& part = parts[i];
    whole.max_left = arithmetic::larger(whole.max_left, part.max_left);
    whole.max_right = arithmetic::larger(whole.max_right, part.max_right);
    whole.max_magnitude = arithmetic::larger(whole.max_magnitude, part.max_magnitude);
    whole.max_difference = arithmetic::larger(whole.max_difference, part.max_difference);
    whole.changed += part.changed;
    whole.bits_differ |= part.bits_differ;
    whole.non_finite |= part.non_finite;
  }
  return whole;
}

/// The slight form, by all threads; the extent comes with it.
template <class Format, class Real>
__device__ __forceinline__ void slight_row(const RowsTask<Real>& task, const typename Format::Stored* p,
                                           const typename Format::Stored* q, double* sums,
                                           SharedRow<Real>& shared) {
  const unsigned n = task.row_length, warps = blockDim.x / kWarp;
  LaneExtent<Format, Real> extent;
  for (unsigned s = warp_index(); s * kSegment < n; s += warps) {
    const unsigned at = s * unsigned(kSegment), size = n - at < kSegment ? n - at : unsigned(kSegment);
    slight_segment<Format, Real>(p + at, q + at, size, extent, sums + kSlightSums * s);
  }
  const Extent<Real> of_warp = extent.collect();
  if (lane_index() == 0) shared.extents[warp_index()] = of_warp;
  __syncthreads();
  if (warp_index() == 0) {
    // Lane i adds up sum i; then every lane has all of them, and lane 0 the last word.
    double total = 0;
    if (lane_index() < kSlightSums)
      for (unsigned s = 0; s < segments_of(n); s++) total += sums[kSlightSums * s + lane_index()];
    double totals[kSlightSums];
#pragma unroll
    for (unsigned i = 0; i < kSlightSums; i++) totals[i] = __shfl_sync(kWholeWarp, total, int(i));
    if (lane_index() == 0) {
      shared.extent = combine(shared.extents, warps);
      shared.slight = RowDivergence<Real>(task.epsilon).slight(shared.extent, n, totals);
    }
  }
  __syncthreads();
}

/// The other forms, by all threads.
template <class Format, class Real>
__device__ __attribute__((noinline)) Real general_row(const RowsTask<Real>& task,
                                                      const typename Format::Stored* left,
                                                      const typename Format::Stored* right, double* sums,
                                                      SharedRow<Real>& shared) {
  const unsigned n = task.row_length, warps = blockDim.x / kWarp;
  Real max_left = -HUGE_VAL, max_right = -HUGE_VAL;
  for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
    max_left = arithmetic::larger(max_left, Real(Format::widen(left[i])));
    max_right = arithmetic::larger(max_right, Real(Format::widen(right[i])));
  }
  max_left = largest_of_warp(max_left);
  max_right = largest_of_warp(max_right);
  if (lane_index() == 0) {
    shared.extents[warp_index()].max_left = max_left;
    shared.extents[warp_index()].max_right = max_right;
  }
  __syncthreads();
  for (unsigned w = 0; w < warps; w++) {
    max_left = arithmetic::larger(max_left, shared.extents[w].max_left);
    max_right = arithmetic::larger(max_right, shared.extents[w].max_right);
  }
  const bool swap = task.right_is_p;
  const auto* p = swap ? right : left;
  const auto* q = swap ? left : right;
  const auto run = [&](Pass pass, const RowConstants<Real>& row) {
    any_pass_segments<Format, Real>(pass, p, q, n, row, sums, warp_index(), warps);
    __syncthreads();
    // Every thread adds up all of them: they are few, and all need the totals.
    PassTotals totals{0, 0};
    const unsigned width = has_two_sums(pass) ? 2 : 1;
    for (unsigned s = 0; s < segments_of(n); s++) {
      totals.first += sums[width * s];
      if (width == 2) totals.second += sums[width * s + 1];
    }
    __syncthreads();
    return totals;
  };
  return RowDivergence<Real>(task.epsilon)(swap ? max_right : max_left, swap ? max_left : max_right,
                                           shared.extent, run);
}

template <class Format, class Real>
__device__ __forceinline__ void score_row(const RowsTask<Real>& task, const typename Format::Stored* left,
                                          const typename Format::Stored* right, uint64_t row, Real kl,
                                          DigitCounts& digits, bool collects, WarpRun<Real>& run) {
  const unsigned n = task.row_length;
  const auto score_at = [&](unsigned i) {
    return score_of(Real(Format::widen(left[i])), Real(Format::widen(right[i])), kl, task.is_signed);
  };
  if (task.scoring == Scoring::kDigits) {
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) digits.count(arithmetic::order_key(score_at(i)));
  } else if (collects) {
    // All lanes of a warp go round together.
    for (unsigned base = 0; base < n; base += blockDim.x) {
      const unsigned i = base + threadIdx.x;
      run.look(task.brackets, i < n, score_at(i < n ? i : 0));
    }
  } else if (task.scoring == Scoring::kSample) {
    unsigned* counts = group_counts(task.sample, row);
    for (unsigned i = first_sampled(task.sample, row) + threadIdx.x * task.sample.one_in; i < n;
         i += blockDim.x * task.sample.one_in)
      count_sampled(counts, score_at(i));
  }
}

/// `only_left_over`: the rows that the quick kernel has left.
template <class Format, class Real>
__global__ void __launch_bounds__(kMaxRowWarps* kWarp)
    analyse_rows_kernel(const __grid_constant__ RowsTask<Real> task, const RowLayout layout,
                        const bool only_left_over) {
  using Stored = typename Format::Stored;
  const uint64_t rows = only_left_over ? *task.left_over : task.rows;
  if (blockIdx.x >= rows) return;
  BRANCHMERGE_DYNAMIC_SHARED(memory);
  BRANCHMERGE_SHARED(SharedRow<Real>, shared);
  double* sums = reinterpret_cast<double*>(memory);
  DigitCounts digits(task.digits, reinterpret_cast<unsigned*>(memory + layout.counts_at));
  if (task.scoring == Scoring::kDigits) digits.begin();
  const bool collects = task.scoring == Scoring::kBrackets && task.brackets.state->placed;
  WarpRun<Real> run(task.brackets, collects);
  RowNotes notes;

  const unsigned n = task.row_length;
  const auto row_of = [&](const void* tensor, uint64_t row) {
    return static_cast<const Stored*>(tensor) + row * task.every * n;
  };
  // The side of a stage: 0 for Left, 1 for Right.
  const auto side_of = [&](unsigned stage, unsigned side) {
    return memory + layout.rows_at + (2 * stage + side) * layout.side_bytes;
  };
  const auto row_at = [&](uint64_t i) { return only_left_over ? uint64_t(task.left_over[1 + i]) : i; };
  const auto begin_stage = [&](unsigned stage, uint64_t i) {
    if (i < rows) {
      stage_row(side_of(stage, 0), row_of(task.left, row_at(i)), n);
      stage_row(side_of(stage, 1), row_of(task.right, row_at(i)), n);
    }
    __pipeline_commit();
  };

  unsigned stage = 0;
  const bool staged = layout.stages > 0, ahead = layout.stages == 2;
  if (staged) begin_stage(0, blockIdx.x);
  for (uint64_t i = blockIdx.x; i < rows; i += gridDim.x) {
    if (ahead) begin_stage(1 - stage, i + gridDim.x);
    if (staged) __pipeline_wait_prior(ahead ? 1 : 0);
    __syncthreads();

    const uint64_t row = row_at(i);
    const Stored *left = row_of(task.left, row), *right = row_of(task.right, row);
    if (staged) {
      left = staged_at(side_of(stage, 0), left);
      right = staged_at(side_of(stage, 1), right);
    }
    slight_row<Format, Real>(task, task.right_is_p ? right : left, task.right_is_p ? left : right, sums,
                             shared);
    Real kl = 0;
    if (!shared.extent.non_finite)
      kl = shared.slight.serves ? shared.slight.kl
                                : general_row<Format, Real>(task, left, right, sums, shared);
    if (threadIdx.x == 0) {
      const double difference = double(shared.extent.max_difference);
      notes.non_finite |= shared.extent.non_finite;
      notes.bits_differ |= shared.extent.bits_differ;
      notes.changed += unsigned(shared.extent.changed);
      notes.note_score(task.largest_is_difference ? difference : double(kl) * difference);
      task.kl[row * task.every] = kl;
    }
    score_row<Format, Real>(task, left, right, row, kl, digits, collects, run);
    __syncthreads();

    if (staged && !ahead) begin_stage(0, i + gridDim.x);
    if (ahead) stage = 1 - stage;
  }
  if (warp_index() == 0 && task.summary != nullptr) notes.finish(task.summary);
  if (task.scoring == Scoring::kDigits) digits.finish();
  if (collects) run.finish(task.brackets);
}

/// As many warps as share a row's segments evenly.
inline unsigned row_warps(unsigned row_length) {
  const unsigned segments = unsigned(segments_of(row_length));
  const unsigned rounds = (segments + kMaxRowWarps - 1) / kMaxRowWarps;
  return (segments + rounds - 1) / rounds;
}

/// With two stages the next row comes while this one is computed. That pays even where it halves the blocks
/// that a multiprocessor holds, since bytes under way are what counts; stages are left out only where they do
/// not fit.
template <class Format, class Real>
RowLayout row_layout(const RowsTask<Real>& task, size_t shared_limit) {
  RowLayout layout{};
  layout.warps = row_warps(task.row_length);
  const auto padded = [](size_t bytes) { return unsigned((bytes + 15) / 16 * 16); };
  layout.counts_at = padded(sizeof(double) * kSlightSums * segments_of(task.row_length));
  const size_t counts = task.scoring == Scoring::kDigits ? digit_count_bytes(task.digits) : 0;
  layout.rows_at = layout.counts_at + padded(counts);
  layout.side_bytes = padded(size_t(task.row_length) * sizeof(typename Format::Stored) + 15);
  for (layout.stages = 2; layout.stages > 0; layout.stages--)
    if (size_t(layout.rows_at) + size_t(2) * layout.stages * layout.side_bytes <= shared_limit) break;
  layout.bytes = layout.rows_at + 2 * layout.stages * layout.side_bytes;
  return layout;
}

/// What a launch needs.
template <class Format, class Real>
RowLayout prepare_rows(const RowsTask<Real>& task) {
  const size_t limit = allow_shared_memory(analyse_rows_kernel<Format, Real>, sizeof(SharedRow<Real>));
  return row_layout<Format>(task, limit);
}

/// As many blocks as the device holds, and no more than there are rows, or runs for what they collect.
template <class Format, class Real>
unsigned row_blocks(const RowsTask<Real>& task, const RowLayout& layout) {
  const uint64_t blocks =
      resident_blocks(analyse_rows_kernel<Format, Real>, layout.warps * kWarp, layout.bytes);
  return unsigned(std::min(within_runs(blocks, task.brackets), task.rows));
}

template <class Format, class Real>
void analyse_any_rows(const RowsTask<Real>& task, bool only_left_over, cudaStream_t stream) {
  const RowLayout layout = prepare_rows<Format>(task);
  launch("analyse rows", analyse_rows_kernel<Format, Real>, row_blocks<Format>(task, layout),
         layout.warps * kWarp, layout.bytes, stream, task, layout, only_left_over);
}

}  // namespace
}  // namespace branchmerge::cuda
