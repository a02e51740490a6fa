#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "sft/parallel/collectives.h"
#include "sft/train/stop_signals.h"

namespace branchmerge::sft {

/// The losses of the micro-batches of all processes, in the order of the data, so that sums over them do not
/// depend on how many processes there are; with them, whether one was asked to stop, and the peak of memory.
class StepLosses {
 public:
  StepLosses(size_t micro_batches, Collectives& collectives);

  /// The sum of micro-batch `index` of this process.
  void set(size_t index, double loss_sum);
  /// Brings all processes' losses, the most urgent of their stop requests and the largest of their peaks.
  /// Collective.
  void share();

  /// Micro-batches of all processes: number index · processes + rank.
  std::span<const double> sums() const { return sums_; }
  StopRequest stop() const { return stop_; }
  uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  Collectives& collectives_;
  std::vector<double> sums_;
  StopRequest stop_ = StopRequest::kNone;
  uint64_t peak_bytes_ = 0;
};

}  // namespace branchmerge::sft
