#include "fusion/cuda/table.cuh"

namespace branchmerge::cuda {

DeviceKernels<float> f16_kernels_in_float32() { return kernel_table<formats::F16, float>(); }

}  // namespace branchmerge::cuda
