#include "fusion/cuda/kernels.h"
#include "fusion/cuda/launch.h"
#include "fusion/cuda/scoring.cuh"

namespace branchmerge::cuda {
namespace {

inline constexpr unsigned kValueThreads = 256;

/// Block b counts run b.
template <class Real>
__global__ void __launch_bounds__(kValueThreads)
    count_values_kernel(const Real* values, const unsigned* sizes, unsigned capacity,
                        const __grid_constant__ Digits digits) {
  BRANCHMERGE_DYNAMIC_SHARED(memory);
  DigitCounts counts(digits, reinterpret_cast<unsigned*>(memory));
  counts.begin();
  __syncthreads();
  const Real* run = values + uint64_t(blockIdx.x) * capacity;
  for (unsigned i = threadIdx.x; i < sizes[blockIdx.x]; i += blockDim.x)
    counts.count(arithmetic::order_key(run[i]));
  __syncthreads();
  counts.finish();
}

__global__ void add_kernel(unsigned long long* counter, unsigned long long amount) { *counter += amount; }

}  // namespace

template <class Real>
void count_values(const Real* values, const unsigned* sizes, unsigned blocks, unsigned capacity,
                  const Digits& digits, cudaStream_t stream) {
  launch("count scores", count_values_kernel<Real>, blocks, kValueThreads, digit_count_bytes(digits), stream,
         values, sizes, capacity, digits);
}
template void count_values(const float*, const unsigned*, unsigned, unsigned, const Digits&, cudaStream_t);
template void count_values(const double*, const unsigned*, unsigned, unsigned, const Digits&, cudaStream_t);

void add_to(unsigned long long* counter, unsigned long long amount, cudaStream_t stream) {
  launch("add up", add_kernel, 1, 1, 0, stream, counter, amount);
}

}  // namespace branchmerge::cuda
