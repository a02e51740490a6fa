#include "sft/train/data_position.h"

#include <algorithm>

namespace branchmerge::sft {

DataCourse::DataCourse(const RunFile& run, uint64_t packs, uint64_t processes)
    : packs_(packs),
      epochs_(run.epochs),
      max_steps_(run.max_steps.value_or(0)),
      packs_per_micro_batch_(run.micro_batch_packs),
      packs_at_once_(processes * run.micro_batch_packs),
      packs_per_step_(packs_at_once_ * run.gradient_accumulation) {}

/// Steps that what is left of the epoch has. Only an epoch that nothing was taken from has one in any case.
uint64_t DataCourse::steps_left(const DataPosition& position) const {
  const uint64_t left = packs_ - std::min(packs_, position.taken);
  const uint64_t micro_batches = (left + packs_at_once_ - 1) / packs_at_once_;
  const uint64_t steps = micro_batches / (packs_per_step_ / packs_at_once_);
  return position.taken == 0 ? std::max<uint64_t>(1, steps) : steps;
}

uint64_t DataCourse::total_steps(const DataPosition& position) const {
  if (max_steps_ > 0) return std::max(max_steps_, position.step);
  if (position.epoch >= epochs_) return position.step;
  return position.step + steps_left(position) + (epochs_ - position.epoch - 1) * steps_per_epoch();
}

DataPosition DataCourse::after_step(const DataPosition& position) const {
  return settle({position.step + 1, position.epoch, position.taken + packs_per_step_});
}

DataPosition DataCourse::settle(const DataPosition& position) const {
  if (steps_left(position) > 0) return position;
  return {position.step, position.epoch + 1, 0};
}

double DataCourse::epochs_done(const DataPosition& position) const {
  return double(position.epoch) + 1 - double(steps_left(position)) / double(steps_per_epoch());
}

uint64_t DataCourse::first_pack(const DataPosition& position, uint32_t micro_batch, uint64_t rank) const {
  return position.taken + micro_batch * packs_at_once_ + rank * packs_per_micro_batch_;
}

}  // namespace branchmerge::sft
