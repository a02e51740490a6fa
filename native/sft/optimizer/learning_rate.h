#pragma once
#include <cstdint>
#include <string_view>

namespace branchmerge::sft {

enum class ScheduleKind { kConstant, kConstantWithWarmup, kCosine, kLinear };

/// The schedule of a name: "constant", "constant_with_warmup", "cosine", "linear". Throws
/// ERR_INVALID_ARGUMENT.
ScheduleKind schedule_kind(std::string_view name);

/// Warmup updates of a run whose length is known: ceil(total · ratio). `ratio` is in [0, 1].
uint64_t warmup_updates(double ratio, uint64_t total);

/// The learning rate of each update, as transformers' schedules of the same names give it. The first update
/// of a warmup is made with 0: the factor is (updates made before) / warmup. kConstant has no warmup,
/// whatever the number says. kCosine and kLinear reach 0 after `total` updates and stay there.
class LearningRateSchedule {
 public:
  /// `peak` >= 0 is the rate after the warmup.
  LearningRateSchedule(ScheduleKind kind, double peak, uint64_t warmup, uint64_t total);

  /// The rate of the update that `done` updates precede, from 0.
  double at(uint64_t done) const;

 private:
  ScheduleKind kind_;
  double peak_;
  uint64_t warmup_, total_;
};

}  // namespace branchmerge::sft
