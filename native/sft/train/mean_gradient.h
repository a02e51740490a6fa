#pragma once
#include <cstdint>
#include <functional>
#include <optional>

#include "sft/train/run_setup.h"

namespace branchmerge::sft {

/// A gradient that was written, and what it is of.
struct MeanGradient {
  uint64_t packs, tokens, trained_tokens;
  double loss;  ///< mean over the trained tokens
  double norm;  ///< of the gradient of that
};

/// Writes the gradient of the model's mean loss over the trained tokens of the first `packs` packs of the
/// run's first epoch (of all, where there are fewer) into the run's output directory, as
/// model.safetensors in F32 with the model's names. Nothing is trained, and no optimizer state is allocated.
/// One process. report(done, total) is called after each micro-batch. Nothing when a signal asked for the
/// end: then nothing is written. ERR_OUT_OF_MEMORY, ERR_NON_FINITE, ERR_PREPARED_DATA, and what reading the
/// weights and writing throws.
std::optional<MeanGradient> write_mean_gradient(const RunSetup& setup, uint64_t packs,
                                                const std::function<void(uint64_t, uint64_t)>& report);

}  // namespace branchmerge::sft
