#pragma once
#include "tensor/tensor_operator.h"

namespace branchmerge {

/// Integer and bool tensors have nothing to merge by: all operands must be equal, and the result is one of
/// them. prepare() throws ERR_INTEGER_MISMATCH naming the tensor and the first element that differs.
class EqualOperator final : public TensorOperator {
 public:
  explicit EqualOperator(const OperandInfo& info) : info_(info) {}
  void prepare(const std::vector<TensorReader*>& operands, WorkerPool& pool) override;
  uint64_t apply(size_t worker, uint64_t begin, uint64_t end, const std::vector<TensorReader*>& operands,
                 std::byte* out) override;
  TensorStats stats() const override;

 private:
  const OperandInfo info_;
};

}  // namespace branchmerge
