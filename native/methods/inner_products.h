#pragma once
#include <vector>

#include "methods/passes.h"

namespace branchmerge {

/// Lengths of the inputs, and angles between them.
class GramMatrix {
 public:
  /// products: of input 0 with 0, 1 with 0 and 1, 2 with 0, 1 and 2, …; each input multiplied by its scale.
  GramMatrix(std::vector<double> products, std::vector<double> scales);

  /// Has no direction.
  bool is_zero(size_t i) const { return product(i, i) == 0; }
  double norm(size_t i) const;
  /// Within [−1, 1], and exactly 1 and −1 for equal and opposite inputs; 0 where one has no direction.
  double cosine(size_t i, size_t j) const;

 private:
  double product(size_t i, size_t j) const { return products_[i * (i + 1) / 2 + j]; }

  std::vector<double> products_, scales_;
};

/// Takes inner products of the inputs, in float64 and in a fixed order.
class InnerProducts {
 public:
  /// For F64 a pass: the square of a float64 can be too large or too small for one, so each input is
  /// multiplied by a power of two that brings its largest magnitude near 1.
  explicit InnerProducts(Passes& passes);

  /// Powers of two.
  const std::vector<double>& scales() const { return scales_; }
  /// Multiplies the inputs by their scales.
  void scale(const Tile& tile) const;

  GramMatrix of_tensor() { return of_range(0, passes_.elements()); }

  /// visit(row, matrix), from any worker, for each `row_length` elements.
  template <class Visit>
  void for_rows(uint64_t row_length, const Visit& visit) {
    const uint64_t rows = passes_.elements() / row_length;
    if (row_length > kBlock) {
      for (uint64_t row = 0; row < rows; row++)
        visit(row, of_range(row * row_length, (row + 1) * row_length));
      return;
    }
    const uint64_t together = kBlock / row_length;
    passes_.pool().for_each((rows + together - 1) / together, [&](size_t worker, size_t task) {
      for (uint64_t row = task * together; row < std::min(rows, (task + 1) * together); row++)
        visit(row, of_block(worker, row * row_length, (row + 1) * row_length));
    });
  }

 private:
  size_t width() const { return scales_.size() * (scales_.size() + 1) / 2; }
  GramMatrix of_range(uint64_t begin, uint64_t end);
  GramMatrix of_block(size_t worker, uint64_t begin, uint64_t end);
  void add(size_t worker, uint64_t begin, uint64_t end, double* sums);

  Passes& passes_;
  std::vector<double> scales_;
};

}  // namespace branchmerge
