#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fusion/cpu/kernels.h"
#include "io/input_files.h"
#include "merge/step.h"
#include "safetensors/header.h"
#include "tensor/tensor_operator.h"

namespace branchmerge {

struct MergePlan {
  struct Output {
    std::string path;  // must not exist, unless an earlier run began it
    Metadata metadata;
    uint64_t written = 0;  // bytes from the start that are there already (MergeCallbacks::on_written)
  };
  /// Rows that one model alone has, copied behind the merged ones.
  struct Tail {
    size_t model;  // its range holds them, too
    uint64_t rows;
  };
  struct Tensor {
    std::string name;
    DType dtype, output_dtype;
    std::vector<uint64_t> shape;    // of what is merged
    std::vector<ByteRange> models;  // where each model has it
    size_t program;
    size_t output;
    bool done = false;               // lies within what was written already
    std::vector<DType> stored = {};  // how each model has it; empty: all in `dtype`. Floats are converted
    std::optional<Tail> tail = {};
    /// Results of earlier steps keep float32 instead of being rounded to `dtype` (F64 stays F64).
    bool float_intermediates = false;
  };
  std::vector<InputFiles::Input> inputs;
  std::vector<Output> outputs;
  std::vector<std::vector<Step>> programs;
  /// Those of an output lie in it in this order; outputs may alternate. What consecutive tensors of one name
  /// have in common of the inputs is read once.
  std::vector<Tensor> tensors;
  /// Bytes for tensors in memory. Tensors that need more are read again in every pass instead.
  uint64_t memory;
  size_t threads;
  const cpu::InstructionSet* instruction_set;
  /// CUDA devices that share the tensors of fusions (choose_devices); none: all is the CPU's.
  std::vector<size_t> devices = {};
  /// A device that fails costs a warning, and the CPU goes on. Otherwise the merge fails with it.
  bool continue_on_cpu = false;
};

/// What a device merged.
struct DeviceShare {
  size_t device;
  uint64_t bytes;  // of the inputs
};

struct MergeTotals {
  uint64_t bytes_read, bytes_written;
  double seconds;
  bool direct_input, direct_output;
  std::vector<DeviceShare> devices;
  std::vector<std::string> warnings;  // of devices that failed
};

struct MergeProgress {
  uint64_t bytes_done, bytes_total;  // read and written
  uint64_t tensors_done, tensors_total;
};

struct StepStats {
  TensorStats tensor;
  uint64_t kept;  // elements taken from operand 1
};

struct MergedTensor {
  std::vector<StepStats> steps;
  std::vector<std::string> model_hashes;
  uint64_t elements;    // of the output
  uint64_t output_end;  // where its bytes end in the output file
  std::string hash;     // of its bytes in the output file, see PlacedHash
};

struct MergeCallbacks {
  std::function<void(const MergeProgress&)> on_progress;                         // from any thread
  std::function<void(const MergePlan::Tensor&, const MergedTensor&)> on_tensor;  // in plan order
  /// The first `bytes` of an output are on the disk; from the writer's thread, after on_tensor of the tensors
  /// in them.
  std::function<void(size_t output, uint64_t bytes)> on_written;
  /// A tensor of this output could not be merged, and the pass ends with an Error; from any thread, and again
  /// for what ends with it.
  std::function<void(size_t output)> on_failure;
};

/// Merges tensor by tensor, all steps of the program in one pass over the files: reading ahead, computing and
/// writing overlap, and memory holds about the models' tensors of the largest name plus what is read ahead,
/// and a block of every output that is begun and not finished. The output files are complete and synced when
/// this returns; on an Error they are left for the caller to remove. `cancelled` makes it throw ERR_CANCELLED
/// soon.
MergeTotals merge_checkpoints(const MergePlan& plan, const MergeCallbacks& callbacks,
                              const std::atomic<bool>& cancelled);

}  // namespace branchmerge
