#include "sft/optimizer/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "base/error.h"

namespace branchmerge::sft {

ScheduleKind schedule_kind(std::string_view name) {
  if (name == "constant") return ScheduleKind::kConstant;
  if (name == "constant_with_warmup") return ScheduleKind::kConstantWithWarmup;
  if (name == "cosine") return ScheduleKind::kCosine;
  if (name == "linear") return ScheduleKind::kLinear;
  throw Error("ERR_INVALID_ARGUMENT",
              "Expected constant, constant_with_warmup, cosine or linear for schedule but received " +
                  std::string(name));
}

uint64_t warmup_updates(double ratio, uint64_t total) {
  return static_cast<uint64_t>(std::ceil(static_cast<double>(total) * ratio));
}

LearningRateSchedule::LearningRateSchedule(ScheduleKind kind, double peak, uint64_t warmup, uint64_t total)
    : kind_(kind), peak_(peak), warmup_(warmup), total_(total) {}

double LearningRateSchedule::at(uint64_t done) const {
  if (kind_ == ScheduleKind::kConstant) return peak_;
  if (done < warmup_) return peak_ * (static_cast<double>(done) / static_cast<double>(warmup_));
  if (kind_ == ScheduleKind::kConstantWithWarmup) return peak_;
  if (done >= total_) return 0;
  const double progress = static_cast<double>(done - warmup_) / static_cast<double>(total_ - warmup_);
  if (kind_ == ScheduleKind::kLinear) return peak_ * (1 - progress);
  return peak_ * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace branchmerge::sft
