#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "analysis/tensor_findings.h"
#include "io/input_files.h"
#include "tensor/dtype.h"

namespace branchmerge {

/// What is read, and of which tensors.
struct AnalysisPlan {
  struct Range {
    ByteRange bytes;
    DType dtype;
  };
  struct Tensor {
    std::string name;
    uint64_t elements;
    std::vector<Range> base;  // one, or none where there are no experts
    std::vector<Range> experts;
    std::vector<Range> merged;  // one or none
    std::vector<Range> gradients;
  };
  std::vector<InputFiles::Input> inputs;
  std::vector<Tensor> tensors;  // all with as many ranges of each kind
  /// Bytes for tensors in memory. Tensors that need more are read again in every pass instead.
  uint64_t memory;
  size_t threads;
};

struct AnalysisProgress {
  uint64_t bytes_done, bytes_total;
  uint64_t tensors_done, tensors_total;
};

struct AnalysisTotals {
  uint64_t bytes_read;
  double seconds;
  bool direct;  // any input was read around the page cache
};

struct AnalysisCallbacks {
  std::function<void(const AnalysisProgress&)> on_progress;                           // from any thread
  std::function<void(const AnalysisPlan::Tensor&, const TensorFindings&)> on_tensor;  // in the plan's order
};

/// Analyses tensor by tensor, reading ahead. ERR_INVALID_ARGUMENT for a plan that does not fit its inputs,
/// ERR_FILE_CHANGED, ERR_FILE_READ, ERR_NON_FINITE. `cancelled` makes it throw ERR_CANCELLED soon.
AnalysisTotals analyse_checkpoints(const AnalysisPlan& plan, const AnalysisCallbacks& callbacks,
                                   const std::atomic<bool>& cancelled);

}  // namespace branchmerge
