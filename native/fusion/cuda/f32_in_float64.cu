#include "fusion/cuda/table.cuh"

namespace branchmerge::cuda {

DeviceKernels<double> f32_kernels_in_float64() { return kernel_table<formats::F32, double>(); }

}  // namespace branchmerge::cuda
