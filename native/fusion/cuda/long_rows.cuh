#pragma once
// Rows that are shared by many blocks: one launch for each pass, and sums that the host adds up in order.
#include "fusion/cuda/kernels.h"
#include "fusion/cuda/launch.h"
#include "fusion/cuda/row_passes.cuh"

namespace branchmerge::cuda {
namespace {

inline constexpr unsigned kPassThreads = 256;

/// Enough blocks for n elements, a segment a warp, and no more than the device holds at a time.
template <class Kernel>
unsigned segment_blocks(Kernel* kernel, uint64_t n) {
  const uint64_t wanted = (segments_of(n) + kPassThreads / kWarp - 1) / (kPassThreads / kWarp);
  const unsigned resident = resident_blocks(kernel, kPassThreads, 0);
  return unsigned(wanted < resident ? wanted : resident);
}

__device__ __forceinline__ uint64_t global_warp() {
  return (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
}
__device__ __forceinline__ uint64_t all_warps() { return uint64_t(gridDim.x) * blockDim.x / kWarp; }

template <class Format, class Real>
__global__ void __launch_bounds__(kPassThreads)
    extent_kernel(const typename Format::Stored* left, const typename Format::Stored* right, uint64_t n,
                  bool largest_is_difference, Summary* summary, RowExtent* row) {
  LaneExtent<Format, Real> lanes;
  Real max_left = -HUGE_VAL, max_right = -HUGE_VAL;
  for (uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += uint64_t(gridDim.x) * blockDim.x) {
    const typename Format::Bits left_bits = left[i], right_bits = right[i];
    const Real x = Format::widen(left_bits), y = Format::widen(right_bits);
    lanes.look(left_bits, right_bits, x, y);
    max_left = arithmetic::larger(max_left, x);
    max_right = arithmetic::larger(max_right, y);
  }
  const Extent<Real> extent = lanes.collect();
  max_left = largest_of_warp(max_left);
  max_right = largest_of_warp(max_right);
  if (lane_index() != 0) return;
  if (extent.non_finite) atomicOr(&summary->non_finite, 1u);
  if (extent.bits_differ) atomicOr(&summary->bits_differ, 1u);
  if (extent.changed) atomicAdd(&summary->changed, static_cast<unsigned long long>(extent.changed));
  if (largest_is_difference) {
    const double difference = double(extent.max_difference);
    atomicMax(&summary->largest_score, ordered_bits(difference == difference ? difference : HUGE_VAL));
  }
  if (row == nullptr) return;
  atomicMax(&row->max_left, static_cast<unsigned long long>(arithmetic::order_key(max_left)));
  atomicMax(&row->max_right, static_cast<unsigned long long>(arithmetic::order_key(max_right)));
  atomicMax(&row->max_magnitude, ordered_bits(extent.max_magnitude));
  atomicMax(&row->max_difference, ordered_bits(extent.max_difference));
}

template <class Format, class Real>
__global__ void __launch_bounds__(kPassThreads)
    pass_kernel(Pass pass, const typename Format::Stored* p, const typename Format::Stored* q, uint64_t n,
                const RowConstants<Real> row, double* sums) {
  any_pass_segments<Format, Real>(pass, p, q, n, row, sums, global_warp(), all_warps());
}

template <class Format, class Real>
__global__ void __launch_bounds__(kPassThreads)
    slight_kernel(const typename Format::Stored* p, const typename Format::Stored* q, uint64_t n,
                  double* sums) {
  LaneExtent<Format, Real> unused;
  for (uint64_t s = global_warp(); s * kSegment < n; s += all_warps()) {
    const uint64_t at = s * kSegment;
    slight_segment<Format, Real>(p + at, q + at, unsigned(n - at < kSegment ? n - at : kSegment), unused,
                                 sums + kSlightSums * s);
  }
}

template <class Format, class Real>
void extent(const void* left, const void* right, uint64_t n, bool largest_is_difference, Summary* summary,
            RowExtent* row, cudaStream_t stream) {
  using Stored = typename Format::Stored;
  const auto kernel = extent_kernel<Format, Real>;
  launch("look at a tensor", kernel, segment_blocks(kernel, n), kPassThreads, 0, stream,
         static_cast<const Stored*>(left), static_cast<const Stored*>(right), n, largest_is_difference,
         summary, row);
}

template <class Format, class Real>
void pass(Pass pass, const void* p, const void* q, uint64_t n, const RowConstants<Real>& row, double* sums,
          cudaStream_t stream) {
  using Stored = typename Format::Stored;
  const auto kernel = pass_kernel<Format, Real>;
  launch("sum over a row", kernel, segment_blocks(kernel, n), kPassThreads, 0, stream, pass,
         static_cast<const Stored*>(p), static_cast<const Stored*>(q), n, row, sums);
}

template <class Format, class Real>
void slight_sums(const void* p, const void* q, uint64_t n, double* sums, cudaStream_t stream) {
  using Stored = typename Format::Stored;
  const auto kernel = slight_kernel<Format, Real>;
  launch("sum over a row", kernel, segment_blocks(kernel, n), kPassThreads, 0, stream,
         static_cast<const Stored*>(p), static_cast<const Stored*>(q), n, sums);
}

}  // namespace
}  // namespace branchmerge::cuda
