#include "device.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace cuda_emulation {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuntimeVersion = 13000;

struct Device {
  size_t in_use = 0;
  size_t peak = 0;
  cudaError_t lost = cudaSuccess;  // what every call answers once something went wrong for good
};

// Aligned as CUDA's allocations are.
constexpr std::align_val_t kAllocationAlignment{256};
struct FreeAligned {
  void operator()(std::byte* memory) const { ::operator delete(memory, kAllocationAlignment); }
};
using AlignedBytes = std::unique_ptr<std::byte, FreeAligned>;

struct Allocation {
  size_t bytes;
  int device;  // −1: pinned host memory
  AlignedBytes memory;
};

}  // namespace
}  // namespace cuda_emulation

// Work that waits its turn. An event's record is a piece of work; whoever waits for it has it done, and what
// is before it.
struct CUstream_st {
  int device = 0;
  std::deque<std::function<cudaError_t()>> work;
};
struct CUevent_st {
  int device = 0;
  CUstream_st* stream = nullptr;  // where its last record waits; nullptr: done, or never recorded
  uint64_t record = 0, done = 0;  // numbers of the last record and of the last that was carried out
  cuda_emulation::Clock::time_point time{};
};

namespace cuda_emulation {
namespace {

struct Library {
  Machine machine;
  std::vector<Device> devices = std::vector<Device>(1);
  std::map<std::byte*, Allocation> allocations;
  std::map<std::byte*, size_t> registered;  // memory of others, pinned
  std::map<const void*, int> shared_limits;
  std::vector<std::unique_ptr<CUstream_st>> streams;
  std::map<int, std::unique_ptr<CUstream_st>> default_streams;
  uint64_t fail_device_allocation = 0, fail_pinned_allocation = 0, fail_launch = 0;
  uint64_t fail_call = 0;
  cudaError_t launch_error = cudaSuccess, call_error = cudaSuccess;
  uint64_t launches = 0;
  size_t pinned = 0;
};

std::recursive_mutex mutex;
void (*before_search)() = [] {};
thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

Library& library() {
  static Library all;
  return all;
}

/// Every call of the library: one at a time, and remembered for cudaGetLastError.
template <class Call>
cudaError_t call(const Call& body) {
  const std::lock_guard lock(mutex);
  const cudaError_t error = body();
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

/// A call that needs a working device.
template <class Call>
cudaError_t device_call(const Call& body) {
  return call([&]() -> cudaError_t {
    Library& all = library();
    if (all.machine.unavailable != cudaSuccess) return all.machine.unavailable;
    if (size_t(current_device) >= all.devices.size()) return cudaErrorInvalidDevice;
    cudaError_t& lost = all.devices[current_device].lost;
    if (lost == cudaSuccess && all.fail_call > 0 && --all.fail_call == 0) lost = all.call_error;
    return lost != cudaSuccess ? lost : body();
  });
}

bool counts_down_to_zero(uint64_t& counter) { return counter > 0 && --counter == 0; }

CUstream_st& stream_of(cudaStream_t stream) {
  if (stream != nullptr) return *stream;
  std::unique_ptr<CUstream_st>& own = library().default_streams[current_device];
  if (own == nullptr) own = std::make_unique<CUstream_st>(CUstream_st{current_device, {}});
  return *own;
}

/// Does what waits on a stream, or only as much as it takes until `enough` says so.
template <class Enough>
cudaError_t drain_until(CUstream_st& stream, const Enough& enough) {
  while (!stream.work.empty() && !enough()) {
    const std::function<cudaError_t()> work = std::move(stream.work.front());
    stream.work.pop_front();
    cudaError_t& lost = library().devices[stream.device].lost;
    if (lost != cudaSuccess) continue;
    try {
      lost = work();
    } catch (...) {
      lost = cudaErrorLaunchFailure;  // what comes after a broken kernel is not done
      throw;
    }
  }
  return library().devices[stream.device].lost;
}
cudaError_t drain(CUstream_st& stream) {
  return drain_until(stream, [] { return false; });
}

cudaError_t drain_device(int device) {
  for (const auto& stream : library().streams)
    if (stream->device == device) drain(*stream);
  const auto own = library().default_streams.find(device);
  if (own != library().default_streams.end()) drain(*own->second);
  return library().devices[device].lost;
}

cudaError_t wait_for(CUevent_st& event, uint64_t record) {
  if (event.stream == nullptr || event.done >= record) return cudaSuccess;
  return drain_until(*event.stream, [&] { return event.done >= record; });
}

cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> work) {
  CUstream_st& own = stream_of(stream);
  if (own.device != current_device) return cudaErrorInvalidResourceHandle;
  // The default stream waits for the others of its device, and they for it.
  const bool at_once = stream == nullptr || !library().machine.lazy;
  if (stream == nullptr) drain_device(current_device);
  own.work.push_back(std::move(work));
  return at_once ? drain(own) : cudaSuccess;
}

/// The allocation that holds [pointer, pointer + bytes), if any.
const Allocation* holder_of(const void* pointer, size_t bytes) {
  auto& all = library().allocations;
  std::byte* const begin = const_cast<std::byte*>(static_cast<const std::byte*>(pointer));
  auto after = all.upper_bound(begin);
  if (after == all.begin()) return nullptr;
  const auto& [start, allocation] = *--after;
  return begin + bytes <= start + allocation.bytes ? &allocation : nullptr;
}

bool on_device(const void* pointer, size_t bytes) {
  const Allocation* holder = holder_of(pointer, bytes);
  return holder != nullptr && holder->device >= 0;
}
bool on_host(const void* pointer) {
  const Allocation* holder = holder_of(pointer, 1);
  return holder == nullptr || holder->device < 0;
}

cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  if (to_device ? !on_device(to, bytes) : !on_host(to)) return cudaErrorInvalidValue;
  if (from_device ? !on_device(from, bytes) : !on_host(from)) return cudaErrorInvalidValue;
  return cudaSuccess;
}

cudaError_t allocate(void** pointer, size_t bytes, int device) {
  Library& all = library();
  const bool pinned = device < 0;
  *pointer = nullptr;
  if (counts_down_to_zero(pinned ? all.fail_pinned_allocation : all.fail_device_allocation))
    return cudaErrorMemoryAllocation;
  if (bytes == 0) return cudaSuccess;
  if (!pinned && all.devices[device].in_use + bytes > all.machine.memory_bytes)
    return cudaErrorMemoryAllocation;
  AlignedBytes memory(static_cast<std::byte*>(::operator new(bytes, kAllocationAlignment, std::nothrow)));
  if (memory == nullptr) return cudaErrorMemoryAllocation;
  std::memset(memory.get(), 0xcd, bytes);
  *pointer = memory.get();
  all.allocations.emplace(static_cast<std::byte*>(*pointer), Allocation{bytes, device, std::move(memory)});
  if (pinned) {
    all.pinned += bytes;
    return cudaSuccess;
  }
  Device& owner = all.devices[device];
  owner.in_use += bytes;
  owner.peak = std::max(owner.peak, owner.in_use);
  return cudaSuccess;
}

cudaError_t release(void* pointer, bool pinned) {
  if (pointer == nullptr) return cudaSuccess;
  Library& all = library();
  const auto found = all.allocations.find(static_cast<std::byte*>(pointer));
  if (found == all.allocations.end() || (found->second.device < 0) != pinned) return cudaErrorInvalidValue;
  if (pinned)
    all.pinned -= found->second.bytes;
  else
    all.devices[found->second.device].in_use -= found->second.bytes;
  all.allocations.erase(found);
  return cudaSuccess;
}

}  // namespace

void reset(const Machine& machine) {
  const std::lock_guard lock(mutex);
  Library& all = library();
  const auto limits = all.shared_limits;  // set once a kernel, by whoever launches it first
  all = Library();
  all.shared_limits = limits;
  all.machine = machine;
  if (machine.unavailable == cudaErrorInsufficientDriver) all.machine.driver = 0;
  if (machine.driver < kRuntimeVersion) all.machine.unavailable = cudaErrorInsufficientDriver;
  all.devices.resize(size_t(machine.devices));
  current_device = 0;
  last_error = cudaSuccess;
  set_thread_order(0);
}

void when_devices_are_sought(void (*call)()) { before_search = call; }

void fail_device_allocation(uint64_t n) {
  const std::lock_guard lock(mutex);
  library().fail_device_allocation = n;
}
void fail_pinned_allocation(uint64_t n) {
  const std::lock_guard lock(mutex);
  library().fail_pinned_allocation = n;
}
void fail_launch(uint64_t n, cudaError_t error) {
  const std::lock_guard lock(mutex);
  library().fail_launch = n;
  library().launch_error = error;
}
void fail_call(uint64_t n, cudaError_t error) {
  const std::lock_guard lock(mutex);
  library().fail_call = n;
  library().call_error = error;
}
void lose_device(int device, cudaError_t error) {
  const std::lock_guard lock(mutex);
  library().devices[size_t(device)].lost = error;
}
size_t device_bytes_in_use() {
  const std::lock_guard lock(mutex);
  size_t bytes = 0;
  for (const Device& device : library().devices) bytes += device.in_use;
  return bytes;
}
size_t pinned_bytes_in_use() {
  const std::lock_guard lock(mutex);
  size_t bytes = library().pinned;
  for (const auto& [at, size] : library().registered) bytes += size;
  return bytes;
}
size_t device_bytes_peak() {
  const std::lock_guard lock(mutex);
  size_t peak = 0;
  for (const Device& device : library().devices) peak = std::max(peak, device.peak);
  return peak;
}
uint64_t launches() {
  const std::lock_guard lock(mutex);
  return library().launches;
}

cudaError_t set_shared_limit(const void* kernel, cudaFuncAttribute attribute, int value) {
  return device_call([&] {
    // A share of the multiprocessor's memory is only a wish.
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
      return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    if (value < 0 || size_t(value) > library().machine.shared_bytes_per_block) return cudaErrorInvalidValue;
    library().shared_limits[kernel] = value;
    return cudaSuccess;
  });
}

cudaError_t resident_blocks(int* blocks, int threads, size_t shared_bytes) {
  return device_call([&] {
    const size_t by_shared = (library().machine.shared_bytes_per_block + 1024) / (shared_bytes + 1024);
    *blocks = int(std::min<size_t>({size_t(2048 / std::max(threads, 1)), by_shared, 32}));
    return cudaSuccess;
  });
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> body) {
  return device_call([&] {
    Library& all = library();
    const dim3 grid = config.gridDim, block = config.blockDim;
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff ||
        grid.y > 65535 || grid.z > 65535)
      return cudaErrorInvalidConfiguration;
    // 48 KiB of dynamic shared memory without asking, more after cudaFuncSetAttribute.
    const auto limit = all.shared_limits.find(kernel);
    const size_t allowed = limit == all.shared_limits.end() ? 48 << 10 : std::max(limit->second, 48 << 10);
    if (config.dynamicSmemBytes > allowed) return cudaErrorInvalidValue;
    if (all.machine.idle_until_registered && all.registered.empty())
      return enqueue(config.stream, [] { return cudaSuccess; });
    all.launches++;
    if (counts_down_to_zero(all.fail_launch)) {
      const cudaError_t error = all.launch_error;
      return enqueue(config.stream, [error] { return error; });
    }
    return enqueue(config.stream, [grid, block, bytes = config.dynamicSmemBytes, body = std::move(body)] {
      std::this_thread::sleep_for(std::chrono::milliseconds(library().machine.kernel_milliseconds));
      run_grid(grid, block, bytes, body);
      return cudaSuccess;
    });
  });
}

}  // namespace cuda_emulation

// NOLINTBEGIN: CUDA's names and signatures
using namespace cuda_emulation;

cudaError_t cudaGetDeviceCount(int* count) {
  return call([&] {
    *count = library().machine.unavailable == cudaSuccess ? int(library().devices.size()) : 0;
    if (*count == 0 && library().machine.unavailable == cudaSuccess) return cudaErrorNoDevice;
    return library().machine.unavailable;
  });
}
cudaError_t cudaSetDevice(int device) {
  return call([&] {
    if (library().machine.unavailable != cudaSuccess) return library().machine.unavailable;
    if (device < 0 || size_t(device) >= library().devices.size()) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}
cudaError_t cudaGetDevice(int* device) {
  return call([&] { return *device = current_device, cudaSuccess; });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&] {
    const Machine& machine = library().machine;
    if (device < 0 || size_t(device) >= library().devices.size()) return cudaErrorInvalidDevice;
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "Emulated device %d", device);
    properties->totalGlobalMem = machine.memory_bytes;
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = machine.shared_bytes_per_block;
    properties->sharedMemPerMultiprocessor = machine.shared_bytes_per_block + 1024;
    properties->regsPerBlock = 65536;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->multiProcessorCount = machine.multiprocessors;
    properties->major = device == machine.old_device ? 7 : 9;
    properties->minor = device == machine.old_device ? 5 : 0;
    properties->l2CacheSize = 50 << 20;
    properties->asyncEngineCount = 3;
    properties->pciBusID = device + 1;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess)
    return error;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = int(properties.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = int(properties.sharedMemPerBlockOptin);
      break;
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  return call([&] { return std::snprintf(id, size_t(length), "0000:%02x:00.0", device + 1), cudaSuccess; });
}
cudaError_t cudaDriverGetVersion(int* version) {
  return call([&] {
    before_search();
    *version = library().machine.driver;
    return cudaSuccess;
  });
}
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = kRuntimeVersion, cudaSuccess; }
cudaError_t cudaDeviceSynchronize() {
  return device_call([] { return drain_device(current_device); });
}
cudaError_t cudaDeviceReset() {
  return call([] { return library().devices[current_device].lost = cudaSuccess, cudaSuccess; });
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

namespace {
struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable",
     "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorSystemNotReady, "cudaErrorSystemNotReady", "system not yet initialized"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
};
const ErrorText& text_of(cudaError_t error) {
  static const ErrorText unknown{cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};
  for (const ErrorText& each : kErrors)
    if (each.error == error) return each;
  return unknown;
}
}  // namespace
const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }
const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }

cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  return device_call([&] {
    *total = library().machine.memory_bytes;
    *available = *total - library().devices[current_device].in_use;
    return cudaSuccess;
  });
}
cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return device_call([&] { return allocate(pointer, bytes, current_device); });
}
cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) {
  return device_call([&] { return allocate(pointer, bytes, current_device); });
}
cudaError_t cudaFree(void* pointer) {
  // A lost device's memory is given back, too: what a destructor does then must not depend on it.
  return call([&] {
    if (library().devices.size() > size_t(current_device)) drain_device(current_device);
    return release(pointer, false);
  });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return call([&] {
    drain(stream_of(stream));
    return release(pointer, false);
  });
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return device_call([&] { return allocate(pointer, bytes, -1); });
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes, unsigned) {
  return cudaHostAlloc(pointer, bytes, 0);
}
cudaError_t cudaFreeHost(void* pointer) {
  return call([&] {
    for (size_t d = 0; d < library().devices.size(); d++) drain_device(int(d));
    return release(pointer, true);
  });
}
cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned) {
  return device_call([&] {
    if (pointer == nullptr || bytes == 0) return cudaErrorInvalidValue;
    auto* const begin = static_cast<std::byte*>(pointer);
    for (const auto& [at, size] : library().registered)
      if (begin < at + size && at < begin + bytes) return cudaErrorHostMemoryAlreadyRegistered;
    library().registered.emplace(begin, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* pointer) {
  return call([&] {
    const bool known = library().registered.erase(static_cast<std::byte*>(pointer)) > 0;
    return known ? cudaSuccess : cudaErrorHostMemoryNotRegistered;
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return device_call([&] {
    if (const cudaError_t error = check_copy(to, from, bytes, kind); error != cudaSuccess) return error;
    return enqueue(stream, [=] {
      std::memcpy(to, from, bytes);
      return cudaSuccess;
    });
  });
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemset(void* pointer, int value, size_t bytes) {
  return cudaMemsetAsync(pointer, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  return device_call([&] {
    if (bytes > 0 && !on_device(pointer, bytes)) return cudaErrorInvalidValue;
    return enqueue(stream, [=] {
      std::memset(pointer, value, bytes);
      return cudaSuccess;
    });
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return device_call([&] {
    library().streams.push_back(std::make_unique<CUstream_st>(CUstream_st{current_device, {}}));
    *stream = library().streams.back().get();
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call([&] {
    auto& all = library().streams;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.get() == stream; });
    if (found == all.end()) return cudaErrorInvalidResourceHandle;
    drain(**found);
    all.erase(found);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return device_call([&] { return drain(stream_of(stream)); });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return device_call([&] { return drain(stream_of(stream)); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return device_call([&] {
    if (event->stream == nullptr) return cudaSuccess;
    return enqueue(stream, [event, record = event->record] { return wait_for(*event, record); });
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return device_call([&] { return *event = new CUevent_st{current_device}, cudaSuccess; });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([&] {
    wait_for(*event, event->record);
    delete event;
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return device_call([&] {
    CUstream_st& own = stream_of(stream);
    if (event->device != own.device) return cudaErrorInvalidResourceHandle;
    event->stream = &own;
    return enqueue(stream, [event, record = ++event->record] {
      event->done = record;
      event->time = Clock::now();
      return cudaSuccess;
    });
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return device_call([&] { return wait_for(*event, event->record); });
}
// Whoever asks again and again would wait forever for lazy work.
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return device_call([&] {
    if (begin->done == 0 || end->done == 0) return cudaErrorInvalidResourceHandle;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
    return cudaSuccess;
  });
}
// NOLINTEND
