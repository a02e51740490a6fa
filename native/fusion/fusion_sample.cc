#include "fusion/fusion_sample.h"

#include <algorithm>
#include <random>

#include "tensor/convert.h"

namespace branchmerge {
namespace {

/// Rows that differ; more of them are these again. Making numbers takes longer than fusing them.
constexpr uint64_t kDistinctRows = 32;

/// Near enough to a normal distribution, of standard deviation 1.
double bell(std::minstd_rand& random) {
  double sum = 0;
  for (int i = 0; i < 4; i++) sum += double(random()) / double(std::minstd_rand::max()) - 0.5;
  return sum * 1.732;
}

}  // namespace

FusionSample::FusionSample(const FusionKind& kind, uint64_t rows) : kind_(kind), rows_(rows) {
  const uint64_t distinct = std::min(rows, kDistinctRows) * kColumns;
  std::vector<double> left(distinct), right(distinct);
  std::minstd_rand random(1);
  for (uint64_t i = 0; i < distinct; i++) {
    left[i] = 0.02 * bell(random);
    right[i] = left[i] + 5e-4 * bell(random);
  }
  for (const size_t side : {0, 1}) {
    std::vector<std::byte>& bytes = sides_[side];
    bytes.resize(rows * row_bytes());
    (void)round_to_dtype(side == 0 ? left.data() : right.data(), kind.operands, bytes.data(), distinct);
    for (uint64_t row = kDistinctRows; row < rows; row += kDistinctRows)
      std::copy_n(bytes.data(), std::min(kDistinctRows, rows - row) * row_bytes(),
                  bytes.data() + row * row_bytes());
  }
}

OperandInfo FusionSample::info(uint64_t rows) const {
  return {"sample", kind_.operands, {rows, kColumns}, rows * kColumns};
}

}  // namespace branchmerge
