#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/worker_pool.h"
#include "tensor/dtype.h"
#include "tensor/tensor_reader.h"

namespace branchmerge {

/// A tensor as an operator sees it: the operands have the same name, dtype and shape.
struct OperandInfo {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  uint64_t elements;
};

/// What a merge of one tensor tells. The rest is fusion's, and zero for other methods.
struct TensorStats {
  bool identical = false;              // same bits in all operands
  bool degenerate = false;             // threshold 0 though the tensor changed
  std::optional<size_t> kept_operand;  // which one was kept whole, because of NaN or infinity in any
  double threshold = 0, q1 = 0, median = 0, q3 = 0;
  double kl_min = 0, kl_median = 0, kl_max = 0;
};

/// One merge of one tensor. It may look at its operands in several passes before it can give a single element
/// of its result; then any stretch of the result can be had, as often as it is asked for. That makes a
/// sequence of merges one pass over the files: an operator's result is another's operand, computed where it
/// is needed.
class TensorOperator {
 public:
  virtual ~TensorOperator() = default;
  /// The passes over the operands, shared by the pool's workers.
  virtual void prepare(const std::vector<TensorReader*>& operands, WorkerPool& pool) = 0;
  /// Writes elements [begin, end) of the result in the operator's output dtype and returns how many of them
  /// were taken from operand 1 (fusion's `kept`; 0 for other methods). Thread-safe for different workers.
  virtual uint64_t apply(size_t worker, uint64_t begin, uint64_t end,
                         const std::vector<TensorReader*>& operands, std::byte* out) = 0;
  virtual TensorStats stats() const { return {}; }
};

}  // namespace branchmerge
