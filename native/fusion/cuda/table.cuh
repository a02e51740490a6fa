#pragma once
#include "fusion/cuda/analyse_rows.cuh"
#include "fusion/cuda/elements.cuh"
#include "fusion/cuda/long_rows.cuh"

namespace branchmerge::cuda {
namespace {

/// All kernels for one storage type and working precision: what a .cu file instantiates.
template <class Format, class Real>
DeviceKernels<Real> kernel_table() {
  DeviceKernels<Real> kernels{};
  kernels.row_blocks = row_blocks<Format, Real>;
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
