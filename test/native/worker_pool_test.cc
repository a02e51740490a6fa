#include "base/worker_pool.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "error_code.h"

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

/// Room for the stacks of some threads, and no more.
void limit_memory() {
  std::ifstream status("/proc/self/statm");
  uint64_t pages = 0;
  status >> pages;
  rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = pages * uint64_t(sysconf(_SC_PAGESIZE)) + (256 << 20);
  setrlimit(RLIMIT_AS, &limit);
}

// std::thread throws, and the threads that run already must end before the pool goes: else the process would.
TEST_CASE("a pool of which not all threads can be started is an error, and no end of the process") {
  const pid_t child = fork();
  if (child == 0) {
    limit_memory();
    const std::string code = error_code([] { WorkerPool pool(10'000); });
    _exit(code == "ERR_THREADS" ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace branchmerge
