#pragma once
// The devices that the emulated runtime library shows, and the failures it can be asked for.
#include <cstddef>
#include <cstdint>

#include "cuda_runtime.h"

namespace cuda_emulation {

/// What the machine has. Work on a stream is done when somebody waits for it (`lazy`), as late as CUDA might,
/// or at once.
struct Machine {
  int devices = 1;
  size_t memory_bytes = size_t(1) << 30;  // of each device
  int multiprocessors = 4;
  size_t shared_bytes_per_block = 227 << 10;
  cudaError_t unavailable = cudaSuccess;  // what cudaGetDeviceCount answers instead
  int driver = 13000;           // as cudaDriverGetVersion says it: 0 is none, older ones show no device
  int old_device = -1;          // number of one of compute capability 7.5; the others have 9.0
  int kernel_milliseconds = 0;  // that each takes at least
  /// Kernels do nothing while no memory of the host is registered, as it is for merges: whoever measures
  /// finds a device that is quick.
  bool idle_until_registered = false;
  bool lazy = true;
};

/// Takes all devices away and gives new ones, without memory in use, failures or a seed for the thread order.
void reset(const Machine& machine = {});
/// Called whenever the driver's version is asked for, as it is before devices are counted: may reset().
void when_devices_are_sought(void (*call)());

/// The n-th device (1) or pinned (2) allocation from now on fails with cudaErrorMemoryAllocation; 0 for none.
void fail_device_allocation(uint64_t n);
void fail_pinned_allocation(uint64_t n);
/// The n-th kernel from now on does not run; that call and every later one on its device answers `error`, as
/// after an ECC error or a lost device.
void fail_launch(uint64_t n, cudaError_t error);
/// The same for the n-th call of any function that needs a device.
void fail_call(uint64_t n, cudaError_t error);

/// A device answers `error` to every call from now on.
void lose_device(int device, cudaError_t error);

/// Bytes not yet freed on all devices, and pinned: what a test of leaks compares with 0.
size_t device_bytes_in_use();
size_t pinned_bytes_in_use();
/// The most that a device held at a time since reset().
size_t device_bytes_peak();
uint64_t launches();

}  // namespace cuda_emulation
