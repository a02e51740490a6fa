#include "sft/ops/cpu/matrix_product.h"

#include <cblas.h>

#include <algorithm>

namespace branchmerge::sft::cpu {
namespace {

/// A part's rows and columns are multiples of this: every kernel of OpenBLAS computes tiles that divide it.
constexpr size_t kTile = 32;
/// Multiplications of a part at least: it takes 20 µs, several times what waking a worker does.
constexpr size_t kLeastWork = 1 << 20;

size_t ceil_divide(size_t a, size_t b) { return (a + b - 1) / b; }

/// C divided into rows × columns parts.
struct Grid {
  size_t rows, columns;
};

/// Each part reads its rows of A and its columns of B, so the grid of the least m / rows + n / columns reads
/// (and packs) least.
Grid divide(size_t m, size_t n, size_t k, size_t workers) {
  const size_t parts = std::min(workers, m * n * k / kLeastWork);
  Grid best{1, 1};
  double least = 0;
  for (size_t rows = 1; rows <= parts; rows++) {
    const Grid grid{rows, parts / rows};
    if (grid.rows * grid.columns < parts * 3 / 4) continue;  // leaves too many workers idle
    if (grid.rows > ceil_divide(m, kTile) || grid.columns > ceil_divide(n, kTile)) continue;
    const double reads = double(m) / double(grid.rows) + double(n) / double(grid.columns);
    if (least == 0 || reads < least) {
      least = reads;
      best = grid;
    }
  }
  return best;
}

/// The size of a part of a dimension that is cut into `parts`.
size_t part_size(size_t size, size_t parts) {
  return parts == 1 ? size : ceil_divide(ceil_divide(size, parts), kTile) * kTile;
}

/// Where op(A) has its row i, or op(B) its column j.
const float* at_row(const Matrix& a, size_t i) {
  return a.data + (a.is == Operand::kPlain ? i * a.stride : i);
}
const float* at_column(const Matrix& b, size_t j) {
  return b.data + (b.is == Operand::kPlain ? j : j * b.stride);
}

}  // namespace

void multiply_matrices(size_t m, size_t n, size_t k, const Matrix& a, const Matrix& b, Target target,
                       float* c, size_t c_stride) {
  const auto transpose = [](Operand is) { return is == Operand::kPlain ? CblasNoTrans : CblasTrans; };
  cblas_sgemm(CblasRowMajor, transpose(a.is), transpose(b.is), blasint(m), blasint(n), blasint(k), 1.0F,
              a.data, blasint(a.stride), b.data, blasint(b.stride),
              target == Target::kOverwrite ? 0.0F : 1.0F, c, blasint(c_stride));
}

void multiply_matrices(WorkerPool& pool, size_t m, size_t n, size_t k, const Matrix& a, const Matrix& b,
                       Target target, float* c, size_t c_stride) {
  const Grid grid = divide(m, n, k, pool.workers());
  const size_t rows = part_size(m, grid.rows), columns = part_size(n, grid.columns);
  const size_t across = ceil_divide(n, columns);
  pool.for_each(ceil_divide(m, rows) * across, [&](size_t, size_t part) {
    const size_t i = part / across * rows, j = part % across * columns;
    multiply_matrices(std::min(rows, m - i), std::min(columns, n - j), k, {at_row(a, i), a.stride, a.is},
                      {at_column(b, j), b.stride, b.is}, target, c + i * c_stride + j, c_stride);
  });
}

void use_calling_thread_only() { openblas_set_num_threads(1); }

}  // namespace branchmerge::sft::cpu
