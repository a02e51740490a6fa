#include "methods/magnitude_ranks.h"

namespace branchmerge {

std::vector<std::vector<uint64_t>> PrefixCounts::totals() const {
  std::vector<std::vector<uint64_t>> totals(prefixes_.size(), std::vector<uint64_t>(kBins));
  for (const std::vector<uint64_t>& each : counts_)
    for (size_t i = 0; i < each.size(); i++) totals[i / kBins][i % kBins] += each[i];
  return totals;
}

}  // namespace branchmerge
