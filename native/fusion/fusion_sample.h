#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fusion/options.h"
#include "tensor/dtype.h"
#include "tensor/tensor_operator.h"

namespace branchmerge {

/// What a fusion's speed depends on, beside its size.
struct FusionKind {
  DType operands, result;  // F16, BF16, F32, F64
  FusionOptions options = {};

  bool operator==(const FusionKind&) const = default;
};

/// A pair of tensors like two fine-tunes of one model, to time fusions on.
class FusionSample {
 public:
  static constexpr uint64_t kColumns = 4096;

  FusionSample(const FusionKind& kind, uint64_t rows);

  const FusionKind& kind() const { return kind_; }
  uint64_t rows() const { return rows_; }
  /// A tensor of so many of its rows; they may be repeated.
  OperandInfo info(uint64_t rows) const;
  /// Bytes of a row of one side, and of the result.
  uint64_t row_bytes() const { return kColumns * dtype_bits(kind_.operands) / 8; }
  uint64_t result_row_bytes() const { return kColumns * dtype_bits(kind_.result) / 8; }
  /// Left (0) or Right (1).
  const std::byte* side(size_t index) const { return sides_[index].data(); }

 private:
  const FusionKind kind_;
  const uint64_t rows_;
  std::vector<std::byte> sides_[2];
};

}  // namespace branchmerge
