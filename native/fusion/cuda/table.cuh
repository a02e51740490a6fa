#pragma once
#include "fusion/cuda/analyse_rows.cuh"
#include "fusion/cuda/elements.cuh"
#include "fusion/cuda/long_rows.cuh"
#include "fusion/cuda/slight_rows.cuh"

namespace branchmerge::cuda {
namespace {

/// The quick kernel where it serves, and the general one for what that leaves over.
template <class Format, class Real>
void analyse_rows(const RowsTask<Real>& task, cudaStream_t stream) {
  if constexpr (std::is_same_v<Real, float>) {
    const SlightLayout layout = slight_layout<Format>(task);
    if (layout.warps > 0) {
      analyse_slight_rows<Format>(task, layout, stream);
      return analyse_any_rows<Format>(task, true, stream);
    }
  }
  analyse_any_rows<Format>(task, false, stream);
}

template <class Format, class Real>
BracketRuns bracket_runs(const RowsTask<Real>& task) {
  if constexpr (std::is_same_v<Real, float>) {
    const SlightLayout layout = slight_layout<Format>(task);
    if (layout.warps > 0) return {slight_blocks<Format>(task, layout), layout.warps};
  }
  const RowLayout layout = prepare_rows<Format>(task);
  return {row_blocks<Format>(task, layout), layout.warps};
}

/// All kernels for one storage type and working precision: what a .cu file instantiates.
template <class Format, class Real>
DeviceKernels<Real> kernel_table() {
  DeviceKernels<Real> kernels{};
  kernels.bracket_runs = bracket_runs<Format, Real>;
  kernels.analyse_rows = analyse_rows<Format, Real>;
  kernels.extent = extent<Format, Real>;
  kernels.pass = pass<Format, Real>;
  kernels.slight_sums = slight_sums<Format, Real>;
  kernels.count_scores = count_scores<Format, Real>;
  kernels.hard_gate = gate<Format, Real, false>;
  if constexpr (sizeof(Real) == sizeof(double)) kernels.soft_gate = gate<Format, Real, true>;
  kernels.find_non_finite = find_non_finite<Format>;
  kernels.convert = convert<Format>;
  return kernels;
}

}  // namespace
}  // namespace branchmerge::cuda
