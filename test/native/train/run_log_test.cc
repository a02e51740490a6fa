#include "sft/train/run_log.h"

#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <filesystem>
#include <thread>
#include <vector>

#include "../error_code.h"
#include "../temporary_directory.h"

namespace branchmerge::sft {
namespace {

TEST_CASE("of many that begin at once in a new directory, one has the lock") {
  constexpr int kRuns = 4;
  for (int round = 0; round < 200; round++) {
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory.file("training/checkpoints"));
    std::atomic<int> locked{0}, refused{0};
    std::barrier together(kRuns);
    std::vector<std::thread> runs;
    runs.reserve(kRuns);
    for (int i = 0; i < kRuns; i++)
      runs.emplace_back([&] {
        RunLog log(directory.file("."), 0);
        together.arrive_and_wait();
        const std::string code = error_code([&] { log.make_directories(); });
        locked += code.empty();
        refused += code == "ERR_OUTPUT_EXISTS";
        together.arrive_and_wait();  // nobody gives it back before
      });
    for (std::thread& run : runs) run.join();
    CHECK(locked == 1);
    CHECK(refused == kRuns - 1);
  }
}

TEST_CASE("the lock of a run that has ended is free") {
  const TemporaryDirectory directory;
  for (int i = 0; i < 2; i++) {
    RunLog log(directory.file("."), 0);
    CHECK(error_code([&] { log.make_directories(); }).empty());
  }
}

}  // namespace
}  // namespace branchmerge::sft
