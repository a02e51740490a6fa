#include "tensor/worker_pool.h"

#include <doctest/doctest.h>

#include <stdexcept>

namespace branchmerge {
namespace {

TEST_CASE("every index is visited once, whatever the number of workers") {
  for (const size_t workers : {1, 2, 7}) {
    WorkerPool pool(workers);
    for (const size_t count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> visits(count);
      pool.for_each(count, [&](size_t worker, size_t index) {
        CHECK(worker < workers);
        visits[index]++;
      });
      for (const std::atomic<int>& times : visits) CHECK(times == 1);
    }
  }
}

TEST_CASE("a failure ends the loop and is thrown to the caller, and the pool goes on") {
  WorkerPool pool(3);
  std::atomic<size_t> visited{0};
  CHECK_THROWS_WITH(pool.for_each(1'000'000,
                                  [&](size_t, size_t index) {
                                    visited++;
                                    if (index == 10) throw std::runtime_error("index 10");
                                  }),
                    "index 10");
  CHECK(visited < 1'000'000);
  visited = 0;
  pool.for_each(100, [&](size_t, size_t) { visited++; });
  CHECK(visited == 100);
}

}  // namespace
}  // namespace branchmerge
