// The emulation itself: what it must notice, and that its streams are as late as CUDA's may be.
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "cuda_emulation/device.h"

namespace {

using cuda_emulation::KernelError;

__global__ void reverse_kernel(int* out) {
  BRANCHMERGE_SHARED(int[64], values);
  values[threadIdx.x] = int(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}

__global__ void unwritten_kernel(int* out) {
  BRANCHMERGE_SHARED(int[64], values);
  BRANCHMERGE_DYNAMIC_SHARED(memory);
  out[threadIdx.x] = values[threadIdx.x];
  out[64 + threadIdx.x] = reinterpret_cast<int*>(memory)[threadIdx.x];
  values[threadIdx.x] = 0;
  reinterpret_cast<int*>(memory)[threadIdx.x] = 0;
}

__global__ void half_a_barrier_kernel() {
  if (threadIdx.x < 40) __syncthreads();
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x < 40)  // NOLINT: the same barrier twice is the point
    __syncthreads();
  else
    __syncthreads();
}

__global__ void absent_lane_kernel(int* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffffff, int(threadIdx.x), 1);
}

__global__ void outside_mask_kernel(int* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_xor_sync(0x0000ffff, int(threadIdx.x), 16);
}

__global__ void halves_kernel(int* out) {
  const unsigned mask = threadIdx.x % 32 < 16 ? 0x0000ffff : 0xffff0000;
  int sum = int(threadIdx.x);
  for (int width = 8; width > 0; width /= 2) sum += __shfl_xor_sync(mask, sum, width);
  __syncwarp(mask);
  out[threadIdx.x] = sum;
}

__global__ void exchanges_kernel(unsigned* out) {
  const unsigned lane = threadIdx.x % 32;
  out[0 * 64 + threadIdx.x] = __shfl_down_sync(~0u, lane, 4);
  out[1 * 64 + threadIdx.x] = __shfl_up_sync(~0u, lane, 4);
  out[2 * 64 + threadIdx.x] = __shfl_sync(~0u, lane, 9);
  out[3 * 64 + threadIdx.x] = __ballot_sync(~0u, lane % 3 == 0);
  out[4 * 64 + threadIdx.x] = __reduce_add_sync(~0u, threadIdx.x);
  out[5 * 64 + threadIdx.x] = __reduce_max_sync(~0u, threadIdx.x);
  out[6 * 64 + threadIdx.x] = unsigned(__any_sync(~0u, threadIdx.x == 40));
  out[7 * 64 + threadIdx.x] = unsigned(__all_sync(~0u, threadIdx.x < 32));
}

__global__ void asynchronous_copy_kernel(const uint4* from, uint4* out, bool wait) {
  BRANCHMERGE_DYNAMIC_SHARED(memory);
  __pipeline_memcpy_async(memory + 16 * threadIdx.x, from + threadIdx.x, 16);
  __pipeline_commit();
  if (wait) __pipeline_wait_prior(0);
  __syncthreads();
  out[threadIdx.x] = reinterpret_cast<uint4*>(memory)[63 - threadIdx.x];
}

__global__ void count_kernel(unsigned* counter) { atomicAdd(counter, 1u); }

template <class T>
class OnDevice {
 public:
  explicit OnDevice(size_t n) : n_(n) { REQUIRE(cudaMalloc(&data_, n * sizeof(T)) == cudaSuccess); }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(n_);
    REQUIRE(cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  size_t n_;
  T* data_ = nullptr;
};

/// Two warps a block; waits.
template <class... Parameters, class... Arguments>
cudaError_t run(void (*kernel)(Parameters...), Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = 1;
  config.blockDim = 64;
  config.dynamicSmemBytes = 1024;
  const cudaError_t launched = cudaLaunchKernelEx(&config, kernel, arguments...);
  return launched == cudaSuccess ? cudaDeviceSynchronize() : launched;
}

TEST_SUITE_BEGIN("CUDA emulation");

TEST_CASE("a barrier makes shared memory common, and its lack shows under some order") {
  cuda_emulation::reset();
  cuda_emulation::forget_barriers();
  const OnDevice<int> out(64);
  bool noticed = false;
  for (const bool drop : {false, true}) {
    for (const uint64_t order : {0, 1, 2, 3}) {
      cuda_emulation::set_thread_order(order);
      CHECK(run(reverse_kernel, out.data()) == cudaSuccess);
      std::vector<int> expected(64);
      for (int i = 0; i < 64; i++) expected[size_t(i)] = 63 - i;
      const bool right = out.read() == expected;
      if (drop)
        noticed = noticed || !right;
      else
        CHECK(right);
    }
    CHECK(cuda_emulation::reached_barriers().size() == 1);
    cuda_emulation::drop_barrier(*cuda_emulation::reached_barriers().begin());
  }
  cuda_emulation::drop_barrier("");
  CHECK(noticed);
}

TEST_CASE("shared memory is poisoned for every block") {
  cuda_emulation::reset();
  const OnDevice<int> out(128);
  for (int i = 0; i < 2; i++) {
    CHECK(run(unwritten_kernel, out.data()) == cudaSuccess);
    CHECK(out.read() == std::vector<int>(128, int(0xcdcdcdcd)));
  }
}

/// On a device of its own: a broken kernel loses it.
template <class... Parameters, class... Arguments>
void check_broken(void (*kernel)(Parameters...), const Arguments&... arguments) {
  CHECK_THROWS_AS(run(kernel, arguments...), KernelError);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  cuda_emulation::reset();
}

TEST_CASE("barriers and lanes that are not there are errors") {
  for (const uint64_t order : {0, 1, 2}) {
    cuda_emulation::reset();
    cuda_emulation::set_thread_order(order);
    check_broken(half_a_barrier_kernel);
    check_broken(two_barriers_kernel);
    int out[64];  // the kernels end before they write
    check_broken(absent_lane_kernel, +out);
    check_broken(outside_mask_kernel, +out);
  }
}

TEST_CASE("shuffles, votes and reductions give what CUDA documents") {
  cuda_emulation::reset();
  const OnDevice<unsigned> out(512);
  const OnDevice<int> sums(64);
  for (const uint64_t order : {0, 1, 2}) {
    cuda_emulation::set_thread_order(order);
    CHECK(run(exchanges_kernel, out.data()) == cudaSuccess);
    const std::vector<unsigned> values = out.read();
    for (unsigned t = 0; t < 64; t++) {
      const unsigned lane = t % 32, warp = t / 32;
      CHECK(values[t] == (lane + 4 < 32 ? lane + 4 : lane));
      CHECK(values[64 + t] == (lane >= 4 ? lane - 4 : lane));
      CHECK(values[128 + t] == 9);
      CHECK(values[192 + t] == 0x49249249);
      CHECK(values[256 + t] == 496 + 1024 * warp);
      CHECK(values[320 + t] == 31 + 32 * warp);
      CHECK(values[384 + t] == warp);
      CHECK(values[448 + t] == 1 - warp);
    }
    CHECK(run(halves_kernel, sums.data()) == cudaSuccess);
    const std::vector<int> halves = sums.read();
    for (int t = 0; t < 64; t++) CHECK(halves[size_t(t)] == 120 + t / 16 * 256);
  }
}

TEST_CASE("an asynchronous copy is there at the barrier after it was waited for") {
  cuda_emulation::reset();
  const OnDevice<uint4> from(64), out(64);
  std::vector<uint4> values(64);
  for (unsigned i = 0; i < 64; i++) values[i] = {i, i + 1, i + 2, i + 3};
  CHECK(cudaMemcpy(from.data(), values.data(), 1024, cudaMemcpyHostToDevice) == cudaSuccess);
  for (const bool wait : {true, false}) {
    CHECK(run(asynchronous_copy_kernel, static_cast<const uint4*>(from.data()), out.data(), wait) ==
          cudaSuccess);
    CHECK((out.read()[0].x == 63) == wait);
  }
}

TEST_CASE("a stream works when somebody waits, in order, and for the events of others") {
  cuda_emulation::reset();
  const OnDevice<unsigned> counter(1);
  CHECK(cudaMemset(counter.data(), 0, 4) == cudaSuccess);
  cudaStream_t first = nullptr, second = nullptr;
  cudaEvent_t event = nullptr;
  CHECK(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  unsigned seen = 77;
  cudaLaunchConfig_t config{};
  config.gridDim = 2;
  config.blockDim = 3;
  config.stream = first;
  CHECK(cudaLaunchKernelEx(&config, count_kernel, counter.data()) == cudaSuccess);
  CHECK(cudaEventRecord(event, first) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(second, event, 0) == cudaSuccess);
  CHECK(cudaMemcpyAsync(&seen, counter.data(), 4, cudaMemcpyDeviceToHost, second) == cudaSuccess);
  CHECK(seen == 77);
  CHECK(cudaStreamSynchronize(second) == cudaSuccess);
  CHECK(seen == 6);
  // A copy reads its source when it is done, not when it was asked for.
  unsigned source = 1;
  CHECK(cudaMemcpyAsync(counter.data(), &source, 4, cudaMemcpyHostToDevice, first) == cudaSuccess);
  source = 2;
  CHECK(cudaStreamSynchronize(first) == cudaSuccess);
  CHECK(counter.read()[0] == 2);
  CHECK(cudaEventDestroy(event) == cudaSuccess);
  CHECK(cudaStreamDestroy(first) == cudaSuccess);
  CHECK(cudaStreamDestroy(second) == cudaSuccess);
}

TEST_CASE("failures that were asked for, and memory that is counted") {
  cuda_emulation::Machine machine;
  machine.memory_bytes = 1000;
  machine.devices = 2;
  cuda_emulation::reset(machine);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 1001) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  cuda_emulation::fail_device_allocation(2);
  CHECK(cudaMalloc(&memory, 600) == cudaSuccess);
  size_t available = 0, total = 0;
  CHECK(cudaMemGetInfo(&available, &total) == cudaSuccess);
  CHECK(available == 400);
  void* more = nullptr;
  CHECK(cudaMalloc(&more, 1) == cudaErrorMemoryAllocation);
  // Host memory is no device memory.
  int host = 0;
  CHECK(cudaMemcpy(&host, &host, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  // A lost device stays lost, and the other one does not mind.
  cuda_emulation::fail_launch(1, cudaErrorECCUncorrectable);
  CHECK(run(half_a_barrier_kernel) == cudaErrorECCUncorrectable);
  CHECK(cudaDeviceSynchronize() == cudaErrorECCUncorrectable);
  CHECK(cudaMalloc(&more, 1) == cudaErrorECCUncorrectable);
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(cudaMalloc(&more, 1) == cudaSuccess);
  CHECK(cuda_emulation::device_bytes_in_use() == 601);
  CHECK(cudaFree(more) == cudaSuccess);
  CHECK(cudaSetDevice(0) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cuda_emulation::device_bytes_in_use() == 0);
  machine.unavailable = cudaErrorInsufficientDriver;
  cuda_emulation::reset(machine);
  int count = 7;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(count == 0);
  cuda_emulation::reset();
}

TEST_SUITE_END();

}  // namespace
