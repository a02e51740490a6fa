#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/worker_pool.h"
#include "merge/leaf_tensor.h"
#include "merge/merge_checkpoints.h"
#include "merge/tensor_sink.h"

namespace branchmerge {

/// A value of the tensor does not fit the dtype that it is converted to. The CPU computes the tensor and says
/// which it is; or it finds infinity in the tensor that is kept whole, which may stay.
struct NotForDevice {};

/// A share of a device, which merges one tensor at a time. A device has a few, so that one copies to it while
/// another computes and a third copies back.
class DeviceLane {
 public:
  virtual ~DeviceLane() = default;
  /// Carries out the tensor's program and hands the result to the sink. `leaves`: the tensor in each model.
  /// Throws ERR_DEVICE_MEMORY or ERR_DEVICE_FAILED when the device fails, or NotForDevice: what the sink has
  /// by then is right, and Merge can go on with it.
  virtual std::vector<StepStats> merge(const MergePlan::Tensor& tensor,
                                       const std::vector<LeafTensor*>& leaves, TensorSink& sink) = 0;
  /// What was copied of the leaves need not be kept: they go.
  virtual void forget_leaves() = 0;
  virtual size_t device() const = 0;
  /// Workers that hash, and copy; for whoever uses the lane.
  virtual WorkerPool& pool() = 0;
};

/// Whether lanes merge this tensor: all steps are fusions of floats, and all rows are merged.
bool merges_on_devices(const MergePlan& plan, const MergePlan::Tensor& tensor);

/// The lanes of one of the plan's devices; none when nothing of the plan is for devices. Throws
/// ERR_DEVICE_MEMORY, ERR_DEVICE_FAILED.
std::vector<std::unique_ptr<DeviceLane>> make_device_lanes(const MergePlan& plan, size_t device,
                                                           const std::atomic<bool>& cancelled);

}  // namespace branchmerge
