#include "fusion/quartiles.h"

#include <algorithm>
#include <cmath>

namespace branchmerge {
namespace {

/// A changed element's score this small may have lost digits, or be a zero that should not be.
constexpr double kSmallestSingleQuartile = 0x1p-100;

/// Rank k of the population as a rank among all elements: the unchanged ones score zero, and lie between the
/// scores below zero and the rest.
uint64_t rank_among_all(uint64_t rank, uint64_t below_zero, uint64_t unchanged) {
  return rank < below_zero ? rank : rank + unchanged;
}

// floor(k/4·(n − 1)), in integers: exact at every size.
uint64_t quarter_rank(uint64_t k, uint64_t n) { return (n - 1) / 4 * k + (n - 1) % 4 * k / 4; }

}  // namespace

QuartileRanks::QuartileRanks(const FusionOptions& options, uint64_t elements, uint64_t changed,
                             uint64_t below_zero)
    : linear_(options.quantile == Quantile::kLinear) {
  const bool changed_only = options.population == Population::kChanged;
  population_ = changed_only ? changed : elements;
  const uint64_t unchanged = elements - changed;
  for (uint64_t i = 0; i < 3; i++) {
    const uint64_t rank = quarter_rank(i + 1, population_);
    const uint64_t next = linear_ ? std::min(rank + 1, population_ - 1) : rank;
    for (int j = 0; j < 2; j++) {
      const uint64_t wanted = j == 0 ? rank : next;
      Target& target = targets_[i];
      target.rank[j] = changed_only ? rank_among_all(wanted, below_zero, unchanged) : wanted;
      target.is_zero[j] = target.rank[j] >= below_zero && target.rank[j] < below_zero + unchanged;
    }
  }
}

std::vector<uint64_t> QuartileRanks::wanted() const {
  std::vector<uint64_t> ranks;
  for (const Target& target : targets_)
    for (int j = 0; j < 2; j++)
      if (!target.is_zero[j]) ranks.push_back(target.rank[j]);
  return ranks;
}

void QuartileRanks::set_wanted(const std::vector<double>& values) {
  auto next = values.begin();
  for (Target& target : targets_)
    for (int j = 0; j < 2; j++)
      if (!target.is_zero[j]) target.value[j] = *next++;
}

std::optional<Quartiles> QuartileRanks::quartiles(bool in_float32) const {
  if (in_float32)
    for (const Target& target : targets_)
      for (int j = 0; j < 2; j++)
        if (!target.is_zero[j] && std::abs(target.value[j]) < kSmallestSingleQuartile) return {};
  const auto quartile = [&](uint64_t i) {
    const auto [low, high] = targets_[i].value;
    return low + (high - low) * fraction(i + 1);
  };
  return Quartiles{quartile(0), quartile(1), quartile(2)};
}

// What the floor of quarter_rank cuts off.
double QuartileRanks::fraction(uint64_t k) const {
  return linear_ ? double((population_ - 1) % 4 * k % 4) / 4 : 0;
}

}  // namespace branchmerge
