#include "fusion/cuda/table.cuh"

namespace branchmerge::cuda {

DeviceKernels<float> bf16_kernels_in_float32() { return kernel_table<formats::BF16, float>(); }

}  // namespace branchmerge::cuda
