#pragma once
#include <functional>
#include <vector>

#include "base/worker_pool.h"
#include "methods/operand_tiles.h"

namespace branchmerge {

/// Looks at whole tensors before they are merged, shared by the pool's workers. What comes out does not
/// depend on how many they are.
class Passes {
 public:
  Passes(OperandTiles& tiles, const Readers& operands, WorkerPool& pool)
      : tiles_(tiles), operands_(operands), pool_(pool) {}

  const OperandInfo& info() const { return tiles_.info(); }
  uint64_t elements() const { return tiles_.info().elements; }
  size_t inputs() const { return tiles_.inputs(); }
  OperandTiles& tiles() { return tiles_; }
  const Readers& operands() const { return operands_; }
  WorkerPool& pool() { return pool_; }

  /// visit(worker, block, begin, end) for the blocks of [begin, end), in any order.
  template <class Visit>
  void for_blocks(uint64_t begin, uint64_t end, const Visit& visit) {
    pool_.for_each((end - begin + kBlock - 1) / kBlock, [&](size_t worker, size_t block) {
      const uint64_t from = begin + block * kBlock;
      visit(worker, block, from, std::min(end, from + kBlock));
    });
  }
  template <class Visit>
  void for_blocks(const Visit& visit) {
    for_blocks(0, elements(), visit);
  }

  template <class Visit>
  void read(size_t worker, uint64_t begin, uint64_t end, const Visit& visit, size_t only = kAllInputs) {
    tiles_.read(worker, operands_, begin, end, visit, only);
  }

  /// `width` sums over [begin, end): add(worker, begin, end, sums) adds a block's tiles in order; the blocks'
  /// sums are added in order.
  template <class Add>
  std::vector<double> sum(uint64_t begin, uint64_t end, size_t width, const Add& add) {
    std::vector<double> parts((end - begin + kBlock - 1) / kBlock * width);
    for_blocks(begin, end, [&](size_t worker, size_t block, uint64_t from, uint64_t to) {
      add(worker, from, to, &parts[block * width]);
    });
    std::vector<double> sums(width);
    for (size_t i = 0; i < parts.size(); i++) sums[i % width] += parts[i];
    return sums;
  }

 private:
  OperandTiles& tiles_;
  const Readers& operands_;
  WorkerPool& pool_;
};

}  // namespace branchmerge
