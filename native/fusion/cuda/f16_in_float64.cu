#include "fusion/cuda/table.cuh"

namespace branchmerge::cuda {

DeviceKernels<double> f16_kernels_in_float64() { return kernel_table<formats::F16, double>(); }

}  // namespace branchmerge::cuda
