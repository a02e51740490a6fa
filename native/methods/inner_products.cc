#include "methods/inner_products.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/lane_sums.h"

namespace branchmerge {
namespace {

/// The largest magnitude of each input.
std::vector<double> largest_magnitudes(Passes& passes) {
  std::vector<std::vector<double>> found(passes.pool().workers(), std::vector<double>(passes.inputs()));
  passes.for_blocks([&](size_t worker, size_t, uint64_t begin, uint64_t end) {
    passes.read(worker, begin, end, [&](const Tile& tile) {
      for (size_t m = 0; m < passes.inputs(); m++)
        for (size_t i = 0; i < tile.size; i++)
          found[worker][m] = std::max(found[worker][m], std::fabs(tile.inputs[m][i]));
    });
  });
  std::vector<double> largest(passes.inputs());
  for (const std::vector<double>& each : found)
    for (size_t m = 0; m < largest.size(); m++) largest[m] = std::max(largest[m], each[m]);
  return largest;
}

}  // namespace

GramMatrix::GramMatrix(std::vector<double> products, std::vector<double> scales)
    : products_(std::move(products)), scales_(std::move(scales)) {}

double GramMatrix::norm(size_t i) const { return std::sqrt(product(i, i)) / scales_[i]; }

double GramMatrix::cosine(size_t i, size_t j) const {
  if (is_zero(i) || is_zero(j)) return 0;
  const double lengths = std::sqrt(product(i, i) * product(j, j));
  return std::clamp(product(std::max(i, j), std::min(i, j)) / lengths, -1.0, 1.0);
}

InnerProducts::InnerProducts(Passes& passes) : passes_(passes), scales_(passes.inputs(), 1.0) {
  if (passes.tiles().single()) return;
  constexpr int kLargestExponent = 1000;
  const std::vector<double> largest = largest_magnitudes(passes);
  for (size_t m = 0; m < scales_.size(); m++)
    if (largest[m] > 0)
      scales_[m] = std::ldexp(1, std::clamp(-std::ilogb(largest[m]), -kLargestExponent, kLargestExponent));
}

void InnerProducts::scale(const Tile& tile) const {
  for (size_t m = 0; m < scales_.size(); m++)
    if (scales_[m] != 1)
      for (size_t i = 0; i < tile.size; i++) tile.inputs[m][i] *= scales_[m];
}

void InnerProducts::add(size_t worker, uint64_t begin, uint64_t end, double* sums) {
  passes_.read(worker, begin, end, [&](const Tile& tile) {
    scale(tile);
    double* sum = sums;
    for (size_t i = 0; i < scales_.size(); i++)
      for (size_t j = 0; j <= i; j++) *sum++ += sum_of_products(tile.inputs[i], tile.inputs[j], tile.size);
  });
}

GramMatrix InnerProducts::of_range(uint64_t begin, uint64_t end) {
  return {passes_.sum(
              begin, end, width(),
              [&](size_t worker, uint64_t from, uint64_t to, double* sums) { add(worker, from, to, sums); }),
          scales_};
}

GramMatrix InnerProducts::of_block(size_t worker, uint64_t begin, uint64_t end) {
  std::vector<double> sums(width());
  add(worker, begin, end, sums.data());
  return {std::move(sums), scales_};
}

}  // namespace branchmerge
