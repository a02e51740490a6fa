#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace branchmerge {

/// Finds chosen order statistics of a multiset of unsigned keys from counts of their leading bits, exactly
/// and without storing the keys: each round counts some more bits (a digit) of the keys whose leading bits
/// are still in question.
class OrderStatistics {
 public:
  /// ranks: positions in ascending order, each below the number of keys. key_bits: 32 or 64. digit_bits: how
  /// many a round counts; the last takes what is left.
  OrderStatistics(const std::vector<uint64_t>& ranks, int key_bits, int digit_bits = 16);

  bool finished() const { return remaining_bits_ == 0; }
  /// Bits that the next round counts, and the key bits below them.
  int digit_bits() const { return std::min(digit_bits_, remaining_bits_); }
  int shift() const { return remaining_bits_ - digit_bits(); }
  /// Distinct leading bits whose keys the next round must count (at most one for each rank); one empty prefix
  /// in the first round.
  const std::vector<uint64_t>& prefixes() const { return prefixes_; }

  /// counts[i][b]: keys whose leading bits are prefixes()[i] and whose next digit is b.
  /// Throws ERR_INTERNAL for counts that do not hold every rank: whoever counted went wrong.
  void narrow(const std::vector<std::vector<uint64_t>>& counts);

  /// When finished: the key at each rank, in the order given.
  std::vector<uint64_t> keys() const;

 private:
  struct Target {
    uint64_t remaining;  // rank within the keys that share `prefix`
    uint64_t prefix;
  };
  std::vector<Target> targets_;
  std::vector<uint64_t> prefixes_;
  int digit_bits_, remaining_bits_;
};

}  // namespace branchmerge
