#pragma once
#include <cstddef>

#include "base/worker_pool.h"
#include "sft/ops/backend.h"

namespace branchmerge::sft::cpu {

/// A matrix in memory, as an operand of a product.
struct Matrix {
  const float* data;
  size_t stride;
  Operand is = Operand::kPlain;
};

/// C (m × n) = op(A) op(B), or added to C, with k terms in each element; on the calling thread.
void multiply_matrices(size_t m, size_t n, size_t k, const Matrix& a, const Matrix& b, Target target,
                       float* c, size_t c_stride);

/// The same on all workers, each with a part of C.
void multiply_matrices(WorkerPool& pool, size_t m, size_t n, size_t k, const Matrix& a, const Matrix& b,
                       Target target, float* c, size_t c_stride);

/// Makes OpenBLAS work on the thread that calls it alone. Its own threads would wait for work by spinning, on
/// the cores that the workers need.
void use_calling_thread_only();

}  // namespace branchmerge::sft::cpu
