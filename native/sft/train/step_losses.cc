#include "sft/train/step_losses.h"

#include <array>

#include "sft/train/process_memory.h"

namespace branchmerge::sft {

StepLosses::StepLosses(size_t micro_batches, Collectives& collectives)
    : collectives_(collectives), sums_(micro_batches * collectives.size(), 0.0) {}

void StepLosses::set(size_t index, double loss_sum) {
  sums_[index * collectives_.size() + collectives_.rank()] = loss_sum;
}

/// Each sum has one term that is not zero, so it is exact, and a NaN stays where it is.
void StepLosses::share() {
  std::array<int64_t, 2> largest{int64_t(stop_request()), int64_t(peak_resident_bytes())};
  collectives_.all_reduce_max(largest);
  stop_ = StopRequest(largest[0]);
  peak_bytes_ = uint64_t(largest[1]);
  collectives_.all_reduce_sum(std::span(sums_));
}

}  // namespace branchmerge::sft
