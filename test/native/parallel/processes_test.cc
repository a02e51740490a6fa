// These tests run on real processes: test/parallel.sh starts them under mpirun. Alone they run, too, on one.
#include "processes.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "collectives_checks.h"
#include "regression.h"
#include "saved_state.h"
#include "sft/parallel/connect.h"
#include "sft/parallel/local_collectives.h"

namespace branchmerge::sft {
namespace {

constexpr size_t kSteps = 8;

TEST_SUITE_BEGIN("processes");

TEST_CASE("collectives have the bits of a loop over the ranks, from no element to several messages") {
  Collectives& processes = test_processes();
  CHECK(processes.buffer_bytes() == communication_bytes(processes.size()));
  for (const uint64_t count : {0, 1, 2, 3, 4, 5, 17, 1000, 100'003}) {
    CAPTURE(count);
    CHECK_NOTHROW(check_sums(processes, count));
    CHECK_NOTHROW(check_max(processes, count));
    CHECK_NOTHROW(check_reduce_scatter(processes, count));
    CHECK_NOTHROW(check_all_gather(processes, count));
    CHECK_NOTHROW(check_broadcast(processes, count));
  }
  // More than the buffer holds for each process, and no multiple of it.
  const uint64_t beyond = processes.buffer_bytes() / processes.size() / sizeof(float) + 12'345;
  CHECK_NOTHROW(check_reduce_scatter(processes, beyond));
  CHECK_NOTHROW(check_all_gather(processes, beyond));
  CHECK_NOTHROW(check_sums(processes, beyond * processes.size() + 1));
  CHECK_NOTHROW(check_max(processes, beyond * 3));
  CHECK_NOTHROW(check_broadcast(processes, beyond * 5));
}

TEST_CASE("nobody leaves a barrier before all have come") {
  using Clock = std::chrono::system_clock;  // one machine, one clock
  Collectives& processes = test_processes();
  processes.barrier();
  std::this_thread::sleep_for(std::chrono::milliseconds(10 * processes.rank()));
  const auto microseconds = [] {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count();
  };
  int64_t last_arrival = microseconds();
  processes.barrier();
  const int64_t left = microseconds();
  processes.all_reduce_max(std::span(&last_arrival, 1));
  CHECK(left >= last_arrival);
}

TEST_CASE("every stage follows the curve of one process and has the same bytes again") {
  for (const std::optional<size_t> poisoned : {std::optional<size_t>(), std::optional<size_t>(3)}) {
    RegressionOptions options;
    options.poisoned_step = poisoned;
    SlowRegression slow(options);
    slow.train(0, kSteps);
    LocalCollectives alone;
    RegressionRun local(alone, options);
    local.initialise();
    local.train(0, kSteps);
    for (const int stage : {0, 1, 2, 3}) {
      CAPTURE(stage);
      options.zero_stage = stage;
      std::vector<float> first_weights;
      for (const size_t threads : {1, 2}) {
        options.threads = threads;
        RegressionRun run(test_processes(), options);
        run.initialise();
        run.train(0, kSteps);
        for (size_t step = 0; step < kSteps; step++) {
          CAPTURE(step);
          CHECK(run.steps()[step].loss == doctest::Approx(slow.steps[step].loss).epsilon(1e-4));
          CHECK(run.steps()[step].loss == doctest::Approx(local.steps()[step].loss).epsilon(1e-5));
          CHECK(run.steps()[step].skipped == slow.steps[step].skipped);
        }
        const std::vector<float> weights = run.weights();
        for (size_t i = 0; i < weights.size(); i++) CHECK(std::fabs(weights[i] - slow.weights[i]) < 2e-6);
        if (threads == 1) first_weights = weights;
        CHECK(weights == first_weights);
      }
    }
  }
}

TEST_CASE("state saved by all processes resumes on one, and state saved by one on all") {
  LocalCollectives alone;
  for (const int stage : {0, 1, 2, 3}) {
    CAPTURE(stage);
    RegressionRun shared(test_processes(), {.zero_stage = stage});
    shared.initialise();
    shared.train(0, kSteps / 2);
    SavedState saved;
    saved.add(shared.store());
    saved.exchange(test_processes());
    CHECK(saved.is_complete());
    shared.train(kSteps / 2, kSteps);

    RegressionRun resumed_alone(alone, {});
    saved.load(resumed_alone.store());
    SavedState by_one;
    by_one.add(resumed_alone.store());
    CHECK(by_one == saved);
    resumed_alone.train(kSteps / 2, kSteps);

    RegressionRun resumed_shared(test_processes(), {.zero_stage = stage});
    by_one.load(resumed_shared.store());
    resumed_shared.train(kSteps / 2, kSteps);

    const std::vector<float> weights = shared.weights();
    CHECK(resumed_shared.weights() == weights);  // the same count: to the bit
    const std::vector<float> weights_alone = resumed_alone.weights();
    for (size_t i = 0; i < weights.size(); i++) CHECK(std::fabs(weights[i] - weights_alone[i]) < 2e-6);
  }
}

TEST_CASE("abort ends processes that wait" * doctest::skip()) {
  if (test_processes().rank() == 0) test_processes().abort(7);
  test_processes().barrier();
  FAIL("a process outlived the abort");
}

TEST_SUITE_END();

}  // namespace
}  // namespace branchmerge::sft
