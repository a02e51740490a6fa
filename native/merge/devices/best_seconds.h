#pragma once
#include <algorithm>
#include <chrono>

namespace branchmerge {

/// Seconds that `body` takes, and not what comes between: the shortest of some rounds, up to five or 10 ms.
/// A round before is not timed, which waits for pages, clocks, and what is loaded when it is first used.
template <class Body>
double best_seconds(const Body& body) {
  using Seconds = std::chrono::duration<double>;
  constexpr Seconds kEnough{10e-3};
  constexpr int kRounds = 5;
  body();
  Seconds best = Seconds::max(), all{0};
  for (int round = 0; round < kRounds && all < kEnough; round++) {
    const auto started = std::chrono::steady_clock::now();
    body();
    const Seconds seconds = std::chrono::steady_clock::now() - started;
    best = std::min(best, seconds);
    all += seconds;
  }
  return std::max(best.count(), 1e-9);
}

}  // namespace branchmerge
