#include "sft/train/batch_builder.h"

#include <doctest/doctest.h>

#include "prepared_directory.h"

namespace branchmerge::sft {
namespace {

using Ids = std::vector<uint32_t>;
using Targets = std::vector<int32_t>;
constexpr int32_t kNo = kIgnoredTarget;

template <typename Value>
std::vector<Value> copy(std::span<const Value> values) {
  return {values.begin(), values.end()};
}

TEST_CASE("neat: each document is a segment with its own positions") {
  const PreparedDirectory directory(three_packs(), "neat");
  const PreparedData data(directory.path(), 0, 1);
  BatchBuilder builder(data);
  const Ids packs{2, 0};
  const Batch batch = builder.build(packs);
  CHECK(copy(batch.tokens) == Ids{30, 31, 32, 33, 34, 35, 5, 6, 7, 8, 9, 10, 11});
  CHECK(copy(batch.positions) == Ids{0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2});
  CHECK(copy(batch.segments) == Ids{0, 1, 3, 6, 10, 13});
  CHECK(copy(batch.targets) == Targets{kNo, 32, kNo, kNo, kNo, kNo, kNo, 7, 8, kNo, 10, kNo, kNo});
}

TEST_CASE("pack: each pack is a segment, but no document predicts another") {
  const PreparedDirectory directory(three_packs(), "pack");
  const PreparedData data(directory.path(), 0, 1);
  BatchBuilder builder(data);
  const Ids packs{0, 1};
  const Batch batch = builder.build(packs);
  CHECK(copy(batch.tokens) == Ids{5, 6, 7, 8, 9, 10, 11, 20, 21, 22, 23, 24});
  CHECK(copy(batch.positions) == Ids{0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4});
  CHECK(copy(batch.segments) == Ids{0, 7, 12});
  CHECK(copy(batch.targets) == Targets{kNo, 7, 8, kNo, 10, kNo, kNo, 21, kNo, 23, 24, kNo});
}

TEST_CASE("a builder forgets the batch before") {
  const PreparedDirectory directory(three_packs(), "none");
  const PreparedData data(directory.path(), 0, 1);
  BatchBuilder builder(data);
  const Ids large{0, 1, 2}, small{1};
  builder.build(large);
  const Batch batch = builder.build(small);
  CHECK(copy(batch.tokens) == Ids{20, 21, 22, 23, 24});
  CHECK(copy(batch.positions) == Ids{0, 1, 2, 3, 4});
  CHECK(copy(batch.segments) == Ids{0, 5});
  CHECK(copy(batch.targets) == Targets{21, kNo, 23, 24, kNo});
}

}  // namespace
}  // namespace branchmerge::sft
