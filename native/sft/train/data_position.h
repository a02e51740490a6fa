#pragma once
#include <cstdint>

#include "sft/train/run_file.h"

namespace branchmerge::sft {

/// How far a run is: `taken` packs of the current epoch's order are used up.
struct DataPosition {
  uint64_t step = 0, epoch = 0, taken = 0;
  bool operator==(const DataPosition&) const = default;
};

/// How steps cover the data. A step takes the next gradientAccumulation · processes · microBatchPacks packs
/// of the epoch's order, going round its end, and an epoch has max(1, floor(ceil(packs / (processes ·
/// microBatchPacks)) / gradientAccumulation)) steps. A run that goes on with other numbers than before goes
/// on at the same pack; what is left of the epoch is divided anew.
class DataCourse {
 public:
  DataCourse(const RunFile& run, uint64_t packs, uint64_t processes);

  uint64_t packs_per_step() const { return packs_per_step_; }
  uint64_t steps_per_epoch() const { return steps_left({0, 0, 0}); }
  /// Of a run that is here: steps made and to be made.
  uint64_t total_steps(const DataPosition& position) const;
  DataPosition after_step(const DataPosition& position) const;
  /// The position itself, or the start of the next epoch when this one has no step left.
  DataPosition settle(const DataPosition& position) const;
  /// In epochs, with the fraction of the current one's steps that are made.
  double epochs_done(const DataPosition& position) const;
  /// Place in the epoch's order of the first pack of a micro-batch of this process.
  uint64_t first_pack(const DataPosition& position, uint32_t micro_batch, uint64_t rank) const;

 private:
  uint64_t steps_left(const DataPosition& position) const;

  uint64_t packs_, epochs_, max_steps_;  // 0: no bound
  uint64_t packs_per_micro_batch_, packs_at_once_, packs_per_step_;
};

}  // namespace branchmerge::sft
