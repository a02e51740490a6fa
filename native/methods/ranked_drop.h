#pragma once
#include <span>
#include <vector>

#include "methods/random_numbers.h"
#include "methods/thinning.h"

namespace branchmerge {

/// Keeps an element with a probability that rises with the rank of its magnitude in its row
/// (docs/methods/della.md).
class RankedDrop final : public Thinning {
 public:
  /// density, epsilon: of each input.
  RankedDrop(const OperandInfo& info, std::vector<double> density, std::vector<double> epsilon,
             uint64_t seed);

  void prepare(Passes& passes) override;
  void enter(size_t worker, OperandTiles& tiles, const Readers& operands, uint64_t begin,
             uint64_t end) override;
  bool keeps_everything(size_t input) const override { return density_[input] >= 1; }
  void thin(size_t worker, size_t input, uint64_t begin, double* difference, size_t n) const override;

 private:
  struct Ranked {
    uint64_t magnitude;  // its bits, which are in its order
    uint64_t place;
  };
  /// One bit for each element from `begin`.
  struct Mask {
    uint64_t begin = 0;
    std::vector<uint64_t> bits;
    void clear(uint64_t first, uint64_t size);
    void set(uint64_t i) { bits[(i - begin) / 64] |= uint64_t(1) << (i - begin) % 64; }
    bool operator[](uint64_t i) const { return bits[(i - begin) / 64] >> (i - begin) % 64 & 1; }
  };
  struct Scratch {
    std::vector<std::vector<Ranked>> rows;  // of each input
    std::vector<Ranked> row, other;
    std::vector<Mask> masks;  // of each input, for what enter() was called for
  };

  bool rows_are_long() const { return row_length_ > kBlock; }
  bool draws(size_t input) const { return density_[input] > 0 && density_[input] < 1; }
  void mask_long_row(Passes& passes, size_t worker, uint64_t row, size_t input);
  void mask_row(Scratch& scratch, size_t input, std::span<const Ranked> row, Mask& mask) const;

  const std::vector<double> density_, epsilon_;
  const uint64_t row_length_;
  std::vector<RandomNumbers> random_;
  std::vector<Scratch> scratch_;  // of each worker
  std::vector<std::vector<Mask>>
      long_masks_;  // of each row, where rows are too long to be ranked again and again
};

}  // namespace branchmerge
