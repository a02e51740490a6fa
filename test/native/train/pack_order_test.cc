#include "sft/train/pack_order.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

namespace branchmerge::sft {
namespace {

std::vector<uint32_t> order(uint64_t packs, uint64_t seed, uint64_t epoch) {
  PackOrder order(packs, seed);
  std::vector<uint32_t> visited;
  for (uint64_t i = 0; i < packs; i++) visited.push_back(order.at(epoch, i));
  return visited;
}

TEST_CASE("every pack comes once") {
  for (const uint64_t packs : {1, 2, 3, 10, 1000}) {
    std::vector<uint32_t> visited = order(packs, 42, 3);
    std::sort(visited.begin(), visited.end());
    for (uint32_t i = 0; i < packs; i++) CHECK(visited[i] == i);
  }
}

TEST_CASE("seed and epoch decide, and nothing else") {
  CHECK(order(100, 1, 2) == order(100, 1, 2));
  CHECK(order(100, 1, 2) != order(100, 1, 3));
  CHECK(order(100, 1, 2) != order(100, 2, 2));
  CHECK(order(100, 1, 2) != order(100, 2, 1));
  PackOrder order_of(100, 1);
  const uint32_t first = order_of.at(0, 5);
  order_of.at(7, 5);
  CHECK(order_of.at(0, 5) == first);
}

TEST_CASE("places go round the end") {
  PackOrder order(7, 1);
  for (uint64_t i = 0; i < 7; i++) CHECK(order.at(2, i + 7) == order.at(2, i));
}

TEST_CASE("every order is as likely as any other") {
  constexpr int kDraws = 24'000;
  std::map<std::vector<uint32_t>, int> counts;
  for (int i = 0; i < kDraws; i++) counts[order(4, uint64_t(i) / 100, uint64_t(i) % 100)]++;
  REQUIRE(counts.size() == 24);
  double chi_square = 0;
  for (const auto& [_, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000;
  CHECK(chi_square < 49.7);  // 99.9 % of draws with 23 degrees of freedom
}

/// An order that is part of the format of a run: a resumed one must find the same.
TEST_CASE("the order of a seed never changes") {
  CHECK(order(8, 42, 0) == std::vector<uint32_t>{3, 6, 0, 7, 1, 2, 5, 4});
  CHECK(order(5, 0, 7) == std::vector<uint32_t>{0, 2, 1, 3, 4});
}

}  // namespace
}  // namespace branchmerge::sft
