#include "fusion/quartiles.h"

#include <algorithm>
#include <cmath>

namespace branchmerge {
namespace {

/// A changed element's score this small may have lost digits, or be a zero that should not be.
constexpr double kSmallestSingleQuartile = 0x1p-100;

}  // namespace

QuartileRanks::QuartileRanks(const QuartilePopulation& population) : population_(population) {
  for (unsigned i = 0; i < 3; i++)
    for (int j = 0; j < 2; j++) {
      const RankedElement element = ranked_element(population, i + 1, j == 1);
      targets_[i].rank[j] = element.rank;
      targets_[i].is_zero[j] = element.is_zero;
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
  return population_.linear ? double((population_.size() - 1) % 4 * k % 4) / 4 : 0;
}

}  // namespace branchmerge
