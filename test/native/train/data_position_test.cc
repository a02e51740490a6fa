#include "sft/train/data_position.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

namespace branchmerge::sft {
namespace {

RunFile run_of(uint32_t micro_batch_packs, uint32_t gradient_accumulation, uint64_t epochs,
               std::optional<uint64_t> max_steps = std::nullopt) {
  RunFile run{};
  run.micro_batch_packs = micro_batch_packs;
  run.gradient_accumulation = gradient_accumulation;
  run.epochs = epochs;
  run.max_steps = max_steps;
  return run;
}

TEST_CASE("steps and places are those of the definition") {
  for (const uint64_t packs : {1, 5, 12, 37})
    for (const uint64_t processes : {1, 2, 3})
      for (const uint32_t accumulation : {1U, 4U})
        for (const uint32_t micro_batch : {1U, 2U}) {
          const DataCourse course(run_of(micro_batch, accumulation, 3), packs, processes);
          const uint64_t at_once = processes * micro_batch;
          const uint64_t steps = std::max<uint64_t>(1, (packs + at_once - 1) / at_once / accumulation);
          CHECK(course.steps_per_epoch() == steps);
          CHECK(course.total_steps({}) == 3 * steps);
          DataPosition position;
          for (uint64_t step = 0; step < 3 * steps; step++) {
            CHECK(position.step == step);
            CHECK(position.epoch == step / steps);
            for (uint32_t m = 0; m < accumulation; m++)
              for (uint64_t rank = 0; rank < processes; rank++)
                CHECK(course.first_pack(position, m, rank) ==
                      ((step % steps * accumulation + m) * processes + rank) * micro_batch);
            position = course.after_step(position);
            CHECK(course.epochs_done(position) == doctest::Approx(double(step + 1) / double(steps)));
            CHECK(course.total_steps(position) == 3 * steps);
          }
          CHECK(position == DataPosition{3 * steps, 3, 0});
        }
}

TEST_CASE("maxSteps wins over epochs") {
  CHECK(DataCourse(run_of(1, 1, 2, 5), 10, 1).total_steps({}) == 5);
  CHECK(DataCourse(run_of(1, 1, 2, 500), 10, 1).total_steps({}) == 500);
}

/// Places that a run takes in the rest of its epoch.
std::set<uint64_t> places_of_epoch(const DataCourse& course, DataPosition& position, uint64_t processes,
                                   uint32_t accumulation) {
  std::set<uint64_t> places;
  const uint64_t epoch = position.epoch;
  while (position.epoch == epoch) {
    for (uint32_t m = 0; m < accumulation; m++)
      for (uint64_t rank = 0; rank < processes; rank++) places.insert(course.first_pack(position, m, rank));
    position = course.after_step(position);
  }
  return places;
}

TEST_CASE("a run that goes on with other numbers goes on at the same pack") {
  constexpr uint64_t kPacks = 48;
  const DataCourse before(run_of(1, 3, 2), kPacks, 2);
  DataPosition position;
  for (int step = 0; step < 3; step++) position = before.after_step(position);
  CHECK(position.taken == 18);
  for (const auto& numbers : {std::pair<uint64_t, uint32_t>{1, 6}, {3, 2}, {5, 1}, {4, 7}, {1, 1}}) {
    const uint64_t processes = numbers.first;
    const uint32_t accumulation = numbers.second;
    CAPTURE(processes);
    const DataCourse after(run_of(1, accumulation, 2), kPacks, processes);
    DataPosition resumed = after.settle(position);
    const uint64_t total = after.total_steps(resumed);
    if (resumed.epoch == 0) {
      const auto places = places_of_epoch(after, resumed, processes, accumulation);
      CHECK(*places.begin() == 18);
      CHECK(*places.rbegin() - 18 + 1 == places.size());
    }
    CHECK(resumed.epoch == 1);
    places_of_epoch(after, resumed, processes, accumulation);
    CHECK(resumed.step == total);
  }
}

TEST_CASE("a rest of an epoch that is shorter than a step is left out") {
  const DataCourse course(run_of(1, 8, 3), 10, 1);
  CHECK(course.settle({1, 1, 6}) == DataPosition{1, 2, 0});
  CHECK(course.settle({1, 1, 2}) == DataPosition{1, 1, 2});
}

}  // namespace
}  // namespace branchmerge::sft
