#pragma once
#include <memory>

#include "fusion/cpu/kernels.h"
#include "fusion/options.h"
#include "tensor/tensor_operator.h"

namespace branchmerge {

/// Buffers of a fusion, kept from one tensor to the next. One fusion at a time.
class FusionScratch {
 public:
  FusionScratch();
  ~FusionScratch();
  struct Contents;
  Contents& contents() { return *contents_; }

 private:
  std::unique_ptr<Contents> contents_;
};

/// Arcee Fusion of two tensors: operand 0 is Left, operand 1 is Right. F16, BF16, F32, F64.
/// prepare() throws ERR_NON_FINITE naming tensor, side and element.
class FuseOperator final : public TensorOperator {
 public:
  FuseOperator(const OperandInfo& info, DType output_dtype, const FusionOptions& options,
               const cpu::InstructionSet& instruction_set, FusionScratch& scratch);
  ~FuseOperator() override;

  void prepare(const std::vector<TensorReader*>& operands, WorkerPool& pool) override;
  uint64_t apply(size_t worker, uint64_t begin, uint64_t end, const std::vector<TensorReader*>& operands,
                 std::byte* out) override;
  TensorStats stats() const override { return stats_; }

 private:
  template <class Real>
  class Fusion;

  const OperandInfo info_;
  const DType output_dtype_;
  const FusionOptions options_;
  const cpu::InstructionSet& instruction_set_;
  FusionScratch& scratch_;
  TensorStats stats_;
  std::unique_ptr<Fusion<float>> single_;
  std::unique_ptr<Fusion<double>> double_;
};

}  // namespace branchmerge
