#pragma once
#include "fusion/cpu/kernels.h"
#include "fusion/fusion_sample.h"

namespace branchmerge {

/// What the CPU does in a second.
struct HostRates {
  double hash;  // bytes hashed
  double fuse;  // bytes of operands fused
};

/// The rows of a sample that keep so many threads busy.
uint64_t rows_for_threads(size_t threads);

/// Measured with all threads.
HostRates measure_host(const FusionSample& sample, const cpu::InstructionSet& instruction_set,
                       size_t threads);

}  // namespace branchmerge
