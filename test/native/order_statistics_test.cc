#include "fusion/order_statistics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "error_code.h"

namespace branchmerge {
namespace {

std::vector<uint64_t> select(const std::vector<uint64_t>& keys, const std::vector<uint64_t>& ranks,
                             int key_bits, int digit_bits) {
  OrderStatistics statistics(ranks, key_bits, digit_bits);
  while (!statistics.finished()) {
    const size_t bins = size_t(1) << statistics.digit_bits();
    std::vector<std::vector<uint64_t>> counts(statistics.prefixes().size(), std::vector<uint64_t>(bins));
    for (const uint64_t key : keys)
      for (size_t i = 0; i < counts.size(); i++)
        if (((key >> statistics.shift()) >> statistics.digit_bits()) == statistics.prefixes()[i])
          counts[i][key >> statistics.shift() & (bins - 1)]++;
    statistics.narrow(counts);
  }
  return statistics.keys();
}

TEST_CASE("the order statistics are those of the sorted keys") {
  std::mt19937_64 random(7);
  for (const int key_bits : {32, 64}) {
    for (const uint64_t spread :
         {uint64_t(1), uint64_t(3), uint64_t(1000), uint64_t(1) << 31, ~uint64_t(0)}) {
      const size_t n = 1 + random() % 500;
      std::vector<uint64_t> keys(n), ranks(6);
      for (uint64_t& key : keys) key = random() % spread >> (64 - key_bits);
      for (uint64_t& rank : ranks) rank = random() % n;
      std::sort(ranks.begin(), ranks.end());
      std::vector<uint64_t> sorted = keys;
      std::sort(sorted.begin(), sorted.end());
      for (const int digit_bits : {11, 16}) {
        const std::vector<uint64_t> found = select(keys, ranks, key_bits, digit_bits);
        for (size_t i = 0; i < ranks.size(); i++) CHECK(found[i] == sorted[ranks[i]]);
      }
    }
  }
}

TEST_CASE("counts that do not hold a rank are refused") {
  OrderStatistics statistics({9}, 32, 11);
  std::vector<uint64_t> counts(2048);
  counts[5] = 9;
  CHECK(error_code([&] { statistics.narrow({counts}); }) == "ERR_INTERNAL");
}

}  // namespace
}  // namespace branchmerge
