#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "fusion/options.h"
#include "tensor/tensor_operator.h"

namespace branchmerge::cuda {

/// Where the device has a tensor's elements.
class DeviceReader {
 public:
  virtual ~DeviceReader() = default;
  /// Elements [begin, end), in the operand's dtype and without any alignment but its own. They are there for
  /// what is put into the fusion's stream from now on, until the next fetch. At most `slice` elements
  /// (DeviceFusion).
  virtual const std::byte* fetch(uint64_t begin, uint64_t end) = 0;
};

/// Buffers on the device that are kept from one tensor to the next. One fusion at a time.
class DeviceFusionScratch {
 public:
  DeviceFusionScratch();
  ~DeviceFusionScratch();
  struct Contents;
  Contents& contents() { return *contents_; }

 private:
  std::unique_ptr<Contents> contents_;
};

/// Arcee Fusion of a pair of tensors on the current device: FuseOperator's result and statistics, bit for
/// bit. The calling thread's device must be that of the stream and the scratch.
class DeviceFusion {
 public:
  /// slice: elements that are looked at together, all of them or a multiple of kSegment; with fewer than all,
  /// every pass fetches the tensor again, slice by slice.
  DeviceFusion(const OperandInfo& info, DType output_dtype, const FusionOptions& options, uint64_t slice,
               DeviceFusionScratch& scratch, cudaStream_t stream);
  ~DeviceFusion();

  /// Device memory that the scratch takes at most for such a tensor.
  static uint64_t scratch_bytes(const OperandInfo& info, const FusionOptions& options, uint64_t slice);

  /// The passes over the operands; waits for the stream. Throws ERR_NON_FINITE as FuseOperator does, and what
  /// a device throws.
  void prepare(DeviceReader& left, DeviceReader& right);

  /// Puts into the stream: elements [begin, end) of the result, from those of Left and Right, into `out`, all
  /// on the device. `out` may be `left` where the output's dtype is the operands'. Adds the elements taken
  /// from Right to *taken, on the device, unless it is null.
  void apply(uint64_t begin, uint64_t end, const std::byte* left, const std::byte* right, std::byte* out,
             unsigned long long* taken);

  TensorStats stats() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace branchmerge::cuda
