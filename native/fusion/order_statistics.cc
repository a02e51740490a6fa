#include "fusion/order_statistics.h"

#include <algorithm>

#include "base/error.h"

namespace branchmerge {

OrderStatistics::OrderStatistics(const std::vector<uint64_t>& ranks, int key_bits, int digit_bits)
    : prefixes_{0}, digit_bits_(digit_bits), remaining_bits_(key_bits) {
  for (const uint64_t rank : ranks) targets_.push_back({rank, 0});
}

void OrderStatistics::narrow(const std::vector<std::vector<uint64_t>>& counts) {
  for (Target& target : targets_) {
    const size_t which = std::find(prefixes_.begin(), prefixes_.end(), target.prefix) - prefixes_.begin();
    uint64_t bin = 0;
    while (bin < counts[which].size() && target.remaining >= counts[which][bin])
      target.remaining -= counts[which][bin++];
    if (bin == counts[which].size())
      throw Error("ERR_INTERNAL",
                  "The scores that were counted are fewer than the tensor's elements. Run again, on the CPU "
                  "(--device cpu) if a device "
                  "was used; if it stays so, report it as a bug.");
    target.prefix = target.prefix << digit_bits() | bin;
  }
  remaining_bits_ = shift();
  prefixes_.clear();
  for (const Target& target : targets_)
    if (std::find(prefixes_.begin(), prefixes_.end(), target.prefix) == prefixes_.end())
      prefixes_.push_back(target.prefix);
}

std::vector<uint64_t> OrderStatistics::keys() const {
  std::vector<uint64_t> keys;
  for (const Target& target : targets_) keys.push_back(target.prefix);
  return keys;
}

}  // namespace branchmerge
