#include "fusion/cuda/table.cuh"

namespace branchmerge::cuda {

DeviceKernels<double> f64_kernels_in_float64() { return kernel_table<formats::F64, double>(); }

}  // namespace branchmerge::cuda
