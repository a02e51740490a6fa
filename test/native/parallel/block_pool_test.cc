#include "sft/parallel/block_pool.h"

#include <doctest/doctest.h>

#include "../error_code.h"

namespace branchmerge::sft {
namespace {

TEST_CASE("a pool has one buffer for a length of one block and two for a length of several") {
  const std::vector<uint64_t> floats = {64, 16, 16, 16, 32};
  BlockPool pool(floats);
  CHECK(pool.bytes() == (64 + 2 * 16 + 32) * sizeof(float));
  CHECK(BlockPool::bytes_of(floats) == pool.bytes());
}

TEST_CASE("a block finds what it left until its buffer serves another, the least recent first") {
  BlockPool pool({16, 16, 16});
  const auto use = [&](size_t block) {
    const auto [data, kept] = pool.take(block);
    if (kept) CHECK(data[15] == static_cast<float>(block));
    data[15] = static_cast<float>(block);
    pool.release(block);
    return kept;
  };
  CHECK_FALSE(use(0));
  CHECK_FALSE(use(1));
  CHECK(use(0));
  CHECK_FALSE(use(2));  // takes the buffer of 1
  CHECK(use(0));
  CHECK_FALSE(use(1));  // takes that of 2
  pool.forget(0);
  CHECK_FALSE(use(0));
  CHECK(use(1));
}

TEST_CASE("holds nest, and more than there are buffers are refused") {
  BlockPool pool({16, 16, 16});
  float* const first = pool.take(0).data;
  CHECK(pool.take(0).data == first);
  CHECK(pool.take(1).data != first);
  CHECK(error_code([&] { pool.take(2); }) == "ERR_INTERNAL");
  CHECK(pool.release(0) == nullptr);
  CHECK(pool.release(0) == first);
  CHECK(pool.any_held());
  CHECK(pool.take(2).data == first);
  pool.release(2);
  pool.release(1);
  CHECK_FALSE(pool.any_held());
  CHECK(error_code([&] { pool.release(1); }) == "ERR_INTERNAL");
}

}  // namespace
}  // namespace branchmerge::sft
