#pragma once
// What the CUDA runtime hands out, owned and checked: every call's result becomes an Error
// (ERR_DEVICE_MEMORY, ERR_DEVICE_FAILED) that says what was being done.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace branchmerge::cuda {

/// Throws unless `status` is cudaSuccess. `doing`: what was asked of the device, for the message: "copy a
/// tensor to the device".
void check(cudaError_t status, const char* doing);

/// Makes a device the calling thread's own, for all that follows, and starts it.
void start_device(size_t index);

/// After a kernel launch, which reports its own failure apart.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

/// A queue of work on the device that was current when it was made. Asynchronous to the default stream.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  operator cudaStream_t() const { return stream_; }  // NOLINT: to be passed as one
  /// Waits until all of it is done, and throws what went wrong in it.
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

/// A moment in a stream.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream);
  /// Waits on the host; at once when nothing was recorded.
  void synchronize() const;
  /// What is put into `stream` from now on waits for the moment.
  void hold(cudaStream_t stream) const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// Memory of the device that was current when it was allocated, aligned to 256 bytes.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(size_t bytes);
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept { swap(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void swap(DeviceMemory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Memory of the host that every device copies from and to without a detour.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(size_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept { swap(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void swap(PinnedMemory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Pins memory that others own, for as long as this lives.
class PinnedRegion {
 public:
  PinnedRegion(std::byte* data, size_t bytes);
  ~PinnedRegion();
  PinnedRegion(const PinnedRegion&) = delete;
  PinnedRegion& operator=(const PinnedRegion&) = delete;

 private:
  std::byte* data_;
};

}  // namespace branchmerge::cuda
