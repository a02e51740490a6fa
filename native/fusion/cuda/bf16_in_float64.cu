#include "fusion/cuda/table.cuh"

namespace branchmerge::cuda {

DeviceKernels<double> bf16_kernels_in_float64() { return kernel_table<formats::BF16, double>(); }

}  // namespace branchmerge::cuda
