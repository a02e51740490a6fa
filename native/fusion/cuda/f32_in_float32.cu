#include "fusion/cuda/table.cuh"

namespace branchmerge::cuda {

DeviceKernels<float> f32_kernels_in_float32() { return kernel_table<formats::F32, float>(); }

}  // namespace branchmerge::cuda
