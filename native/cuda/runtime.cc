#include "cuda/runtime.h"

#include <string>

#include "base/error.h"

namespace branchmerge::cuda {

namespace {

[[noreturn]] void fail(cudaError_t status, const std::string& which, const char* doing) {
  throw Error(status == cudaErrorMemoryAllocation ? "ERR_DEVICE_MEMORY" : "ERR_DEVICE_FAILED",
              which + " failed to " + doing + ": " + cudaGetErrorString(status) + " (" +
                  cudaGetErrorName(status) + ").");
}

std::string device_text(size_t index) { return "CUDA device " + std::to_string(index); }

}  // namespace

void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what can be forgotten is: the next call starts clean
  int device = 0;
  const bool known = cudaGetDevice(&device) == cudaSuccess;
  fail(status, known ? device_text(size_t(device)) : "A CUDA device", doing);
}

void start_device(size_t index) {
  const cudaError_t status = cudaSetDevice(int(index));
  if (status == cudaSuccess) return;
  cudaGetLastError();
  fail(status, device_text(index), "start");  // check() would name the one that was current before
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a stream"); }
// Destructors run after failures, too, when every call of a lost device fails: there is nobody to tell.
Stream::~Stream() { cudaStreamDestroy(stream_); }
void Stream::synchronize() const { check(cudaStreamSynchronize(stream_), "finish its work"); }

Event::Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "create an event"); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "record an event"); }
void Event::synchronize() const { check(cudaEventSynchronize(event_), "finish its work"); }
void Event::hold(cudaStream_t stream) const {
  check(cudaStreamWaitEvent(stream, event_, 0), "wait for an event");
}

DeviceMemory::DeviceMemory(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  check(cudaMalloc(&data, bytes), "allocate memory");
  data_ = static_cast<std::byte*>(data);
}
DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) cudaFree(data_);
}

PinnedMemory::PinnedMemory(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  check(cudaHostAlloc(&data, bytes, cudaHostAllocPortable), "pin memory of the host");
  data_ = static_cast<std::byte*>(data);
}
PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) cudaFreeHost(data_);
}

PinnedRegion::PinnedRegion(std::byte* data, size_t bytes) : data_(data) {
  check(cudaHostRegister(data, bytes, cudaHostRegisterPortable), "pin memory of the host");
}
PinnedRegion::~PinnedRegion() { cudaHostUnregister(data_); }

}  // namespace branchmerge::cuda
