#pragma once
#include <cstdint>
#include <span>

#include "sft/model/config.h"

namespace branchmerge::sft {

/// Floating-point operations of the forward and backward pass over packs with these attention segments (as in
/// Batch): 6 a token and weight of the matrix products, and causal attention inside the segments. What
/// recomputation adds is not counted; the head counts for `targets` tokens, those that are trained.
double model_flops(const ModelConfig& config, std::span<const uint32_t> segments, uint64_t targets);

}  // namespace branchmerge::sft
