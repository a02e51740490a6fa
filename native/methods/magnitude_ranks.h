#pragma once
#include <bit>
#include <vector>

#include "fusion/order_statistics.h"
#include "methods/passes.h"

namespace branchmerge {

/// Counters of one round, per worker: 16 bits of a key, for each prefix in question.
class PrefixCounts {
 public:
  PrefixCounts(size_t workers, const std::vector<uint64_t>& prefixes, int shift)
      : prefixes_(prefixes), shift_(shift), counts_(workers) {}

  /// Before a worker's first key.
  void open(size_t worker) { counts_[worker].resize(prefixes_.size() * kBins); }
  /// Counts key(i) for i below n.
  template <class Key>
  void count(size_t worker, size_t n, const Key& key) {
    for (size_t t = 0; t < prefixes_.size(); t++) {
      const uint64_t prefix = prefixes_[t];
      uint64_t* counts = &counts_[worker][t * kBins];
      for (size_t i = 0; i < n; i++)
        if (key(i) >> shift_ >> 16 == prefix) counts[key(i) >> shift_ & (kBins - 1)]++;
    }
  }
  /// Of all workers, for OrderStatistics::narrow.
  std::vector<std::vector<uint64_t>> totals() const;

 private:
  static constexpr size_t kBins = 1 << 16;
  const std::vector<uint64_t>& prefixes_;
  const int shift_;
  std::vector<std::vector<uint64_t>> counts_;
};

/// The values at the given ranks (in ascending order of magnitude) among magnitudes of a whole tensor: exact,
/// in one pass for each 16 bits of a value. `single`: the values are float32. values(worker, tile) points to
/// tile.size values, whose signs are ignored. `only`: the one input that they depend on.
template <class Values>
std::vector<double> magnitudes_at_ranks(Passes& passes, const std::vector<uint64_t>& ranks, bool single,
                                        const Values& values, size_t only = kAllInputs) {
  OrderStatistics statistics(ranks, single ? 32 : 64);
  while (!statistics.finished()) {
    PrefixCounts counts(passes.pool().workers(), statistics.prefixes(), statistics.shift());
    passes.for_blocks([&](size_t worker, size_t, uint64_t begin, uint64_t end) {
      counts.open(worker);
      passes.read(
          worker, begin, end,
          [&](const Tile& tile) {
            const double* value = values(worker, tile);
            counts.count(worker, tile.size, [=](size_t i) {
              return single ? std::bit_cast<uint32_t>(float(value[i])) & 0x7fffffff
                            : std::bit_cast<uint64_t>(value[i]) & 0x7fffffffffffffff;
            });
          },
          only);
    });
    statistics.narrow(counts.totals());
  }
  std::vector<double> found;
  for (const uint64_t key : statistics.keys())
    found.push_back(single ? double(std::bit_cast<float>(uint32_t(key))) : std::bit_cast<double>(key));
  return found;
}

}  // namespace branchmerge
