// Slerp by weights, for tensors, rows or columns: docs/methods/nuslerp.md.
#include <algorithm>

#include "methods/arc.h"
#include "methods/inner_products.h"
#include "methods/method.h"
#include "methods/method_operator.h"
#include "methods/weights.h"

namespace branchmerge {
namespace {

/// Vectors whose sine is smaller are interpolated on a straight line.
constexpr double kStraight = 1e-6;

/// Columns are summed in so many groups of rows at most, so that workers can share them; fewer where all
/// groups' sums would be more than about kColumnSums in number.
constexpr uint64_t kMostGroups = 16, kColumnSums = 1 << 20;

enum class Vectors : uint8_t { kTensor, kRows, kColumns };

class Nuslerp final : public MethodOperator {
 public:
  Nuslerp(const OperandInfo& info, DType output_dtype, size_t operands, double t, Vectors vectors)
      : MethodOperator(info, output_dtype, operands, operands == 3 ? Base::kSubtracted : Base::kNone),
        t_(t),
        columns_(vectors == Vectors::kColumns),
        run_(vectors == Vectors::kTensor ? info.elements
             : vectors == Vectors::kRows ? info.shape.back()
             : info.shape.front() == 0   ? 0
                                         : info.elements / info.shape.front()) {}

 private:
  void analyse(Passes& passes) override {
    if (columns_) return analyse_columns(passes);
    weights_.resize(passes.elements() / run_);
    InnerProducts(passes).for_rows(
        run_, [&](uint64_t row, const GramMatrix& gram) { weights_[row] = weights_of(gram); });
  }

  ArcWeights weights_of(const GramMatrix& gram) const {
    const double cosine = gram.cosine(0, 1);
    const bool straight = gram.is_zero(0) || gram.is_zero(1) || sine_of_angle(cosine) < kStraight;
    return straight ? line_weights(t_) : arc_weights(cosine, t_);
  }

  void analyse_columns(Passes& passes) {
    const InnerProducts products(passes);
    const uint64_t rows = passes.elements() / run_;
    const uint64_t groups = std::min(rows, std::clamp<uint64_t>(kColumnSums / run_, 1, kMostGroups));
    const uint64_t stripes = (run_ + kBlock - 1) / kBlock;
    std::vector<double> sums(groups * 3 * run_);
    passes.pool().for_each(groups * stripes, [&](size_t worker, size_t task) {
      const uint64_t group = task / stripes, first_column = task % stripes * kBlock;
      double* mine = &sums[group * 3 * run_];
      const auto add = [&](const Tile& tile) {
        products.scale(tile);
        add_columns(tile, mine);
      };
      const uint64_t first = rows * group / groups, last = rows * (group + 1) / groups;
      if (stripes == 1)
        read_rows(passes, worker, first, last, add);
      else
        for (uint64_t row = first; row < last; row++)
          passes.read(worker, row * run_ + first_column, row * run_ + std::min(run_, first_column + kBlock),
                      add);
    });
    weights_.resize(run_);
    passes.for_blocks(0, run_, [&](size_t, size_t, uint64_t begin, uint64_t end) {
      for (uint64_t column = begin; column < end; column++) {
        std::vector<double> total(3);
        for (uint64_t group = 0; group < groups; group++)
          for (size_t i = 0; i < 3; i++) total[i] += sums[(group * run_ + column) * 3 + i];
        weights_[column] = weights_of({std::move(total), products.scales()});
      }
    });
  }

  template <class Visit>
  void read_rows(Passes& passes, size_t worker, uint64_t first, uint64_t last, const Visit& visit) const {
    const uint64_t together = kBlock / run_;
    for (uint64_t row = first; row < last; row += together)
      passes.read(worker, row * run_, std::min(last, row + together) * run_, visit);
  }

  void add_columns(const Tile& tile, double* sums) const {
    uint64_t column = tile.begin % run_;
    for (size_t i = 0; i < tile.size; i++) {
      const double x = tile.inputs[0][i], y = tile.inputs[1][i];
      sums[3 * column] += x * x;
      sums[3 * column + 1] += y * x;
      sums[3 * column + 2] += y * y;
      if (++column == run_) column = 0;
    }
  }

  void combine(size_t, const Tile& tile, double* result) override {
    const double *first = tile.inputs[0], *second = tile.inputs[1];
    for (size_t begin = 0; begin < tile.size;) {
      const uint64_t run = (tile.begin + begin) / run_, offset = tile.begin + begin - run * run_;
      const size_t end = size_t(std::min<uint64_t>(tile.size, begin + run_ - offset));
      const ArcWeights* weights = columns_ ? &weights_[offset] : &weights_[run];
      for (; begin < end; begin++) {
        result[begin] = weights->first * first[begin] + weights->second * second[begin];
        weights += columns_;
      }
    }
    if (tile.base != nullptr)
      for (size_t i = 0; i < tile.size; i++) result[i] += tile.base[i];
  }

  const double t_;
  const bool columns_;
  const uint64_t run_;               // elements in a row of memory that are one vector, or one of each column
  std::vector<ArcWeights> weights_;  // of each vector
};

Vectors vectors_of(const OperandInfo& info, const MethodParameters& parameters) {
  if (parameter(parameters, "flatten") != 0 || info.shape.size() < 2) return Vectors::kTensor;
  return parameter(parameters, "rowWise") != 0 ? Vectors::kColumns : Vectors::kRows;
}

}  // namespace

std::unique_ptr<TensorOperator> make_nuslerp(const OperandInfo& info, DType output_dtype, size_t operands,
                                             const MethodParameters& parameters) {
  check_operands("nuslerp", operands, 2, 3);
  const std::vector<double>& weights = parameter_list(parameters, "weight", 2);
  const double t = weights[1] / sum_of_weights(info, weights);
  return std::make_unique<Nuslerp>(info, output_dtype, operands, t, vectors_of(info, parameters));
}

}  // namespace branchmerge
