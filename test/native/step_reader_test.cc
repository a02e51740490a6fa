#include "merge/step_reader.h"

#include <doctest/doctest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/worker_pool.h"
#include "error_code.h"
#include "merge/result_memory.h"

namespace branchmerge {
namespace {

constexpr uint64_t kElements = 300'000, kBytes = kElements * sizeof(uint32_t);

/// Element i of the result is i; those divisible by three come from operand 1.
class Numbers final : public TensorOperator {
 public:
  void prepare(const std::vector<TensorReader*>&, WorkerPool&) override {}
  uint64_t apply(size_t, uint64_t begin, uint64_t end, const std::vector<TensorReader*>&,
                 std::byte* out) override {
    if (fails && end > kElements / 2) throw Error("ERR_FILE_READ", "gone");
    uint64_t taken = 0;
    for (uint64_t i = begin; i < end; i++) {
      const auto value = uint32_t(i);
      std::memcpy(out + (i - begin) * sizeof value, &value, sizeof value);
      taken += i % 3 == 0;
    }
    computed += end - begin;
    return taken;
  }
  std::atomic<uint64_t> computed{0};
  std::atomic<bool> fails{false};
};

/// Passes that cut the result in different places, as the passes of a fusion do.
void look(StepReader& reader, WorkerPool& pool, uint64_t stretch) {
  std::atomic<uint64_t> wrong{0};
  pool.for_each((kElements + stretch - 1) / stretch, [&](size_t worker, size_t i) {
    const uint64_t begin = i * stretch, end = std::min(kElements, begin + stretch);
    const std::byte* bytes = reader.fetch(worker, begin * sizeof(uint32_t), end * sizeof(uint32_t));
    for (uint64_t at = begin; at < end; at++) {
      uint32_t value;
      std::memcpy(&value, bytes + (at - begin) * sizeof value, sizeof value);
      wrong += value != at;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("a result that is kept is computed once, whatever the passes ask for") {
  const std::vector<TensorReader*> none;
  WorkerPool pool(4);
  Numbers numbers;
  std::vector<std::byte> memory(kBytes);
  StepReader reader(numbers, none, kElements, sizeof(uint32_t), pool.workers(), memory);
  for (const uint64_t stretch : {uint64_t(1000), uint64_t(77'777), uint64_t(4096), kElements})
    look(reader, pool, stretch);
  CHECK(numbers.computed == kElements);
  CHECK(reader.elements() == kElements);
  CHECK(reader.taken() == kElements / 3);
}

TEST_CASE("a result that is not kept is computed in each pass, and counted in the one that is asked for") {
  const std::vector<TensorReader*> none;
  WorkerPool pool(2);
  Numbers numbers;
  StepReader reader(numbers, none, kElements, sizeof(uint32_t), pool.workers(), {});
  look(reader, pool, 5000);
  CHECK(reader.elements() == 0);
  reader.begin_counting();
  look(reader, pool, 7000);
  reader.end_counting();
  look(reader, pool, 9000);
  CHECK(numbers.computed == 3 * kElements);
  CHECK(reader.elements() == kElements);
  CHECK(reader.taken() == kElements / 3);
}

TEST_CASE("nobody waits for a piece whose worker failed") {
  const std::vector<TensorReader*> none;
  WorkerPool pool(4);
  Numbers numbers;
  numbers.fails = true;
  std::vector<std::byte> memory(kBytes);
  StepReader reader(numbers, none, kElements, sizeof(uint32_t), pool.workers(), memory);
  // All workers want all of it.
  std::vector<std::thread> threads;
  std::atomic<size_t> failed{0};
  for (size_t worker = 0; worker < pool.workers(); worker++)
    threads.emplace_back(
        [&, worker] { failed += error_code([&] { reader.fetch(worker, 0, kBytes); }) == "ERR_FILE_READ"; });
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == pool.workers());
  numbers.fails = false;
  look(reader, pool, 12'345);
}

TEST_CASE("results share a limit of memory, and those beyond it are not kept") {
  ResultMemory memory(100);
  const std::byte* const first = memory.room(0, 60).data();
  CHECK(memory.room(1, 41).empty());
  CHECK(memory.room(1, 40).size() == 40);
  // The next tensor takes the same memory.
  CHECK(memory.room(0, 50).data() == first);
  CHECK(memory.room(0, 61).empty());
  CHECK(ResultMemory(0).room(0, 1).empty());
}

}  // namespace
}  // namespace branchmerge
