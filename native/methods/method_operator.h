#pragma once
#include "methods/operand_tiles.h"
#include "methods/passes.h"
#include "tensor/tensor_operator.h"

namespace branchmerge {

/// A method's operator, less its arithmetic: reads, widens, refuses NaN and infinity, rounds once.
class MethodOperator : public TensorOperator {
 public:
  MethodOperator(const OperandInfo& info, DType output_dtype, size_t operands, Base base)
      : tiles_(info, operands, base), output_dtype_(output_dtype) {}

  void prepare(const Readers& operands, WorkerPool& pool) final;
  uint64_t apply(size_t worker, uint64_t begin, uint64_t end, const Readers& operands, std::byte* out) final;

 protected:
  /// The passes that the method needs, if any. Not called for a tensor without elements.
  virtual void analyse(Passes&) {}
  /// Before the tiles of [begin, end), at most kBlock elements, are combined.
  virtual void enter(size_t /*worker*/, const Readers&, uint64_t /*begin*/, uint64_t /*end*/) {}
  /// Writes tile.size elements of the result.
  virtual void combine(size_t worker, const Tile& tile, double* result) = 0;

  OperandTiles& tiles() { return tiles_; }

 private:
  void write(const Tile& tile, const double* result, std::byte* out) const;

  OperandTiles tiles_;
  const DType output_dtype_;
};

}  // namespace branchmerge
