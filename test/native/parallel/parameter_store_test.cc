#include "sft/parallel/parameter_store.h"

#include <doctest/doctest.h>

#include <cmath>
#include <mutex>

#include "../error_code.h"
#include "collectives_checks.h"
#include "regression.h"
#include "saved_state.h"
#include "sft/parallel/local_collectives.h"
#include "sft/parallel/state_loader.h"
#include "thread_group.h"

namespace branchmerge::sft {
namespace {

constexpr size_t kSteps = 10;

struct Outcome {
  std::vector<RegressionStep> steps;
  std::vector<float> weights;
  SavedState state;
};

/// Trains on `ranks` threads, from saved state if there is some; what rank 0 saw, and the state that all
/// saved.
Outcome train(size_t ranks, const RegressionOptions& options, size_t first = 0, size_t last = kSteps,
              const SavedState* start = nullptr) {
  Outcome outcome;
  std::mutex mutex;
  ThreadGroup(ranks).run([&](Collectives& collectives) {
    RegressionRun run(collectives, options);
    if (start)
      start->load(run.store());
    else
      run.initialise();
    run.train(first, last);
    const std::vector<float> weights = run.weights();
    const std::lock_guard lock(mutex);
    outcome.state.add(run.store());
    if (collectives.rank() == 0) {
      outcome.steps = run.steps();
      outcome.weights = weights;
    }
  });
  return outcome;
}

void check_same_curve(const std::vector<RegressionStep>& steps, const std::vector<RegressionStep>& expected) {
  REQUIRE(steps.size() == expected.size());
  for (size_t step = 0; step < steps.size(); step++) {
    CAPTURE(step);
    CHECK(steps[step].skipped == expected[step].skipped);
    if (std::isfinite(steps[step].loss))
      CHECK(steps[step].loss == doctest::Approx(expected[step].loss).epsilon(1e-4));
    if (std::isfinite(steps[step].gradient_norm))
      CHECK(steps[step].gradient_norm == doctest::Approx(expected[step].gradient_norm).epsilon(1e-4));
  }
}

/// The largest difference between two lists of weights.
template <class T>
double largest_difference(const std::vector<float>& weights, const std::vector<T>& expected) {
  REQUIRE(weights.size() == expected.size());
  double largest = 0;
  for (size_t i = 0; i < weights.size(); i++)
    largest = std::max(largest, std::fabs(weights[i] - double{expected[i]}));
  return largest;
}

TEST_CASE("the collectives of threads, which the tests below stand on, sum in the order of the ranks") {
  for (const size_t ranks : {1, 2, 3, 5})
    ThreadGroup(ranks).run([](Collectives& collectives) {
      for (const uint64_t count : {0, 1, 2, 3, 4, 5, 17, 1000}) {
        check_sums(collectives, count);
        check_max(collectives, count);
        check_reduce_scatter(collectives, count);
        check_all_gather(collectives, count);
        check_broadcast(collectives, count);
      }
    });
}

TEST_CASE("every stage on any number of processes follows a slow implementation without either") {
  for (const Decay decay : {Decay::kMatrices, Decay::kAll}) {
    RegressionOptions options;
    options.adam.decay = decay;
    SlowRegression slow(options);
    slow.train(0, kSteps);
    CHECK(slow.steps.back().loss < slow.steps.front().loss / 2);
    for (const int stage : {0, 1, 2, 3})
      for (const size_t ranks : {1, 2, 3, 4, 12}) {
        CAPTURE(stage);
        CAPTURE(ranks);
        options.zero_stage = stage;
        const Outcome outcome = train(ranks, options);
        check_same_curve(outcome.steps, slow.steps);
        CHECK(largest_difference(outcome.weights, slow.weights) < 2e-6);
      }
  }
}

TEST_CASE("without a limit gradients are not clipped") {
  RegressionOptions options;
  options.max_gradient_norm.reset();
  SlowRegression slow(options);
  slow.train(0, kSteps);
  CHECK(slow.steps.front().gradient_norm > 2);  // so the limit of the other tests acts
  check_same_curve(train(2, options).steps, slow.steps);
}

TEST_CASE("a run has the same bytes again, whatever the threads and who comes first") {
  for (const int stage : {0, 1, 2, 3}) {
    CAPTURE(stage);
    const Outcome first = train(3, {.zero_stage = stage});
    for (const size_t threads : {1, 2, 5}) {
      const Outcome again = train(3, {.zero_stage = stage, .threads = threads});
      CHECK(again.weights == first.weights);
      CHECK(again.state == first.state);
      for (size_t step = 0; step < kSteps; step++) {
        CHECK(again.steps[step].loss == first.steps[step].loss);
        CHECK(again.steps[step].gradient_norm == first.steps[step].gradient_norm);
      }
    }
  }
}

TEST_CASE("a gradient or a loss that is not finite on one process is skipped by all") {
  for (const bool poisoned : {true, false}) {
    RegressionOptions options;
    (poisoned ? options.poisoned_step : options.lost_step) = 3;
    SlowRegression slow(options);
    slow.train(0, kSteps);
    for (const int stage : {0, 1, 2, 3})
      for (const size_t ranks : {1, 2, 4}) {
        CAPTURE(poisoned);
        CAPTURE(stage);
        CAPTURE(ranks);
        options.zero_stage = stage;
        const Outcome outcome = train(ranks, options);
        CHECK(outcome.steps[3].skipped);
        CHECK(std::isfinite(outcome.steps[3].gradient_norm) != poisoned);
        check_same_curve(outcome.steps, slow.steps);
        CHECK(largest_difference(outcome.weights, slow.weights) < 2e-6);
        CHECK(outcome.state.updates() == kSteps - 1);
      }
  }
}

TEST_CASE("what all processes save is every element once, and loads on any other number at any stage") {
  struct Processes {
    int stage;
    size_t ranks;
    bool operator==(const Processes&) const = default;
  };
  const size_t half = kSteps / 2;
  for (const Processes& before : {Processes{0, 1}, {0, 3}, {1, 2}, {2, 4}, {3, 1}, {3, 3}}) {
    const SavedState saved = train(before.ranks, {.zero_stage = before.stage}, 0, half).state;
    CHECK(saved.is_complete());
    const Outcome whole_run = train(before.ranks, {.zero_stage = before.stage});
    for (const Processes& after : {before, {0, 1}, {0, 2}, {1, 3}, {2, 2}, {3, 4}, {3, 12}}) {
      CAPTURE(before.stage);
      CAPTURE(before.ranks);
      CAPTURE(after.stage);
      CAPTURE(after.ranks);
      const RegressionOptions options = {.zero_stage = after.stage};
      CHECK(train(after.ranks, options, half, half, &saved).state == saved);
      const Outcome resumed = train(after.ranks, options, half, kSteps, &saved);
      CHECK(largest_difference(resumed.weights, whole_run.weights) < 2e-6);
      if (after == before) CHECK(resumed.state == whole_run.state);
    }
  }
}

TEST_CASE("saved state that lacks elements, repeats them or is of another model is refused") {
  LocalCollectives collectives;
  RegressionRun run(collectives, {});
  const auto load = [&](const std::vector<SavedPiece>& pieces) {
    StateLoader loader(run.store());
    for (const SavedPiece& piece : pieces) loader.claim(piece.parameter, piece.offset, piece.count);
    loader.finish(1);
  };
  const auto code = [&](const std::vector<SavedPiece>& pieces) { return error_code([&] { load(pieces); }); };
  std::vector<SavedPiece> all;
  for (const Parameter& parameter : run.store().layout().parameters)
    all.push_back({parameter.name, 0, parameter.elements(), {}, {}, {}});
  CHECK(code(all).empty());

  const auto with = [&](const SavedPiece& piece) {
    auto pieces = all;
    pieces.push_back(piece);
    return pieces;
  };
  const auto without_last = [&](uint64_t missing) {
    auto pieces = all;
    pieces.back().count -= missing;
    return pieces;
  };
  const std::string last = all.back().parameter;
  CHECK(code(without_last(1)) == "ERR_RESUME");
  CHECK(error_message([&] { load(without_last(1)); }).find(last) != std::string::npos);
  CHECK(code({all.begin() + 1, all.end()}) == "ERR_RESUME");
  CHECK(code(with({last, 0, 1, {}, {}, {}})) == "ERR_RESUME");
  CHECK(code(with({last, 1, 1, {}, {}, {}})) == "ERR_RESUME");
  CHECK(code(with({last, 2, 1, {}, {}, {}})) == "ERR_RESUME");
  CHECK(code(with({last, 1, UINT64_MAX, {}, {}, {}})) == "ERR_RESUME");
  CHECK(code(with({"model.norm.weight", 0, 1, {}, {}, {}})) == "ERR_RESUME");
}

TEST_CASE("the store allocates what its plan says, and the plan shards what the stage says") {
  const ParameterLayout layout = regression_layout();
  uint64_t previous = UINT64_MAX;
  for (const int stage : {0, 1, 2, 3}) {
    CAPTURE(stage);
    for (const size_t ranks : {1, 2, 4, 7}) {
      const StoreMemory plan = store_memory(layout, stage, ranks);
      ThreadGroup(ranks).run([&](Collectives& collectives) {
        WorkerPool workers(1);
        const ParameterStore store(layout, stage, collectives, workers);
        if (!(store.memory() == plan)) throw std::runtime_error("the plan is wrong");
      });
    }
    const StoreMemory plan = store_memory(layout, stage, 2);
    CHECK(plan.total() < previous + plan.gradient_buffers + plan.gathered_weights);
    previous = plan.total();
  }

  // Blocks of 16, 16, 80, 256, 256, 256 and 1040 floats are, on four processes, slices of 16, 16, 32, 64, 64,
  // 64 and 272.
  constexpr uint64_t kSliced = (16 + 16 + 32 + 64 + 64 + 64 + 272) * sizeof(float), kWhole = 4 * kSliced;
  constexpr uint64_t kPool = (2 * 64 + 128 + 2 * 256 + 1088) * sizeof(float);
  const StoreMemory expected[] = {{kWhole, 0, kWhole, 0, 2 * kWhole},
                                  {kWhole, 0, kWhole, 0, 2 * kSliced},
                                  {kWhole, 0, kSliced, kPool, 2 * kSliced},
                                  {kSliced, kPool, kSliced, kPool, 2 * kSliced}};
  for (const int stage : {0, 1, 2, 3}) CHECK(store_memory(layout, stage, 4) == expected[stage]);
}

TEST_CASE("a stage that does not exist is refused") {
  LocalCollectives collectives;
  WorkerPool workers(1);
  for (const int stage : {-1, 4})
    CHECK(error_code([&] { ParameterStore(regression_layout(), stage, collectives, workers); }) ==
          "ERR_INVALID_ARGUMENT");
}

TEST_CASE("an update while a gathered block is held is refused") {
  ThreadGroup group(2);
  CHECK(error_code([&] {
          group.run([](Collectives& collectives) {
            RegressionRun run(collectives, {.zero_stage = 3});
            run.initialise();
            run.store().weights().acquire(1);
            run.store().update({.adam = {}, .learning_rate = 1, .max_gradient_norm = {}});
          });
        }) == "ERR_INTERNAL");
}

}  // namespace
}  // namespace branchmerge::sft
