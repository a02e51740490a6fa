#include "sft/parallel/sharding.h"

#include <string>

#include "base/error.h"

namespace branchmerge::sft {

Sharding::Sharding(const std::vector<size_t>& block_floats, int zero_stage, size_t rank, size_t size)
    : stage_(size == 1 ? 0 : zero_stage), rank_(rank) {
  if (zero_stage < 0 || zero_stage > 3)
    throw Error("ERR_INVALID_ARGUMENT",
                "Expected 0, 1, 2 or 3 for zeroStage but received " + std::to_string(zero_stage));
  constexpr uint64_t kAlignment = 16;
  for (const uint64_t floats : block_floats) {
    const uint64_t unit = size * kAlignment;
    slices_.push_back((floats + unit - 1) / unit * kAlignment);
    padded_.push_back(slices_.back() * size);
  }
}

}  // namespace branchmerge::sft
