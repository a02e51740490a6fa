#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/header.h"
#include "checkpoint/input_files.h"
#include "fusion/fuse_tensor.h"

namespace branchmerge {

struct FusePlan {
  struct Output {
    std::string path;  // must not exist
    Metadata metadata;
  };
  struct Tensor {
    std::string name;
    DType dtype, output_dtype;
    std::vector<uint64_t> shape;
    ByteRange left, right;
    size_t output;
  };
  std::vector<InputFiles::Input> inputs;
  std::vector<Output> outputs;
  std::vector<Tensor> tensors;  // in writing order: grouped by output
  FusionOptions options;
  size_t threads;
  const cpu::InstructionSet* instruction_set;
};

struct FuseTotals {
  uint64_t bytes_read, bytes_written;
  double seconds;
  bool direct_input, direct_output;
};

struct FuseProgress {
  uint64_t bytes_done, bytes_total;  // read and written
  uint64_t tensors_done, tensors_total;
};

struct FusedTensor {
  TensorStats stats;
  uint64_t elements;
  std::string left_hash, right_hash;
};

struct FuseCallbacks {
  std::function<void(const FuseProgress&)> on_progress;                        // from any thread
  std::function<void(const FusePlan::Tensor&, const FusedTensor&)> on_tensor;  // in plan order
};

/// Fuses tensor by tensor: reading ahead, computing and writing overlap, and memory holds about one pair of
/// the largest tensor plus what is read ahead. The output files are complete and synced when this returns; on
/// an Error they are left for the caller to remove. `cancelled` makes it throw ERR_CANCELLED soon.
FuseTotals fuse_checkpoints(const FusePlan& plan, const FuseCallbacks& callbacks,
                            const std::atomic<bool>& cancelled);

}  // namespace branchmerge
