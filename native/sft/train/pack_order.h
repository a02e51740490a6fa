#pragma once
#include <cstdint>
#include <vector>

namespace branchmerge::sft {

/// The order in which an epoch visits the packs: a uniform permutation that depends on the seed, the epoch
/// and the number of packs alone (Fisher and Yates's shuffle, drawn from SplitMix64).
class PackOrder {
 public:
  PackOrder(uint64_t packs, uint64_t seed);

  /// The pack at place `index`, counted round the end, of an epoch (from 0). Keeps one epoch's order.
  uint32_t at(uint64_t epoch, uint64_t index);

  static uint64_t memory_bytes(uint64_t packs) { return packs * sizeof(uint32_t); }

 private:
  void shuffle(uint64_t epoch);

  uint64_t seed_;
  uint64_t epoch_ = 0;
  std::vector<uint32_t> order_;
};

}  // namespace branchmerge::sft
