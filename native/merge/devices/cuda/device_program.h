#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fusion/cuda/device_fusion.h"
#include "merge/devices/cuda/upload.h"
#include "merge/merge_checkpoints.h"

namespace branchmerge::cuda {

/// A tensor's program as a lane carries it out: which buffers it takes, how large they are, and which of them
/// each step reads.
struct DeviceProgram {
  struct Leaf {
    size_t model;
    DType stored, read_as, wanted;
    uint64_t at;  // in the lane's memory
    bool operator==(const Leaf&) const = default;
  };
  /// A leaf, or the result of an earlier step.
  struct Source {
    bool is_leaf;
    size_t index;
  };
  struct Step {
    OperandInfo info;
    DType result;
    const FusionOptions* options;
    Source left, right;
    uint64_t at;       // of its result
    uint64_t counter;  // of its count
  };
  std::vector<Leaf> leaves;
  std::vector<Step> steps;
  uint64_t elements = 0;
  uint64_t slice = 0;    // elements that are looked at together
  uint64_t bytes = 0;    // of the lane's memory
  uint64_t scratch = 0;  // of the fusions beside
};

/// Lays a tensor out in at most `budget` bytes of device memory: all of it, or as large a slice as fits.
/// Throws ERR_DEVICE_MEMORY when not even the smallest does.
DeviceProgram lay_out(const MergePlan& plan, const MergePlan::Tensor& tensor, uint64_t budget);

}  // namespace branchmerge::cuda
