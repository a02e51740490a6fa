#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fusion/fusion_sample.h"
#include "io/input_files.h"
#include "merge/merge_checkpoints.h"

namespace branchmerge {

/// What a merge asks of the machine, in bytes, of the tensors that devices can merge. What is left to do of
/// the others is the same with devices and without.
struct MergeWork {
  uint64_t read = 0;    // of the inputs; what tensors share is read once
  uint64_t cold = 0;    // of those, what is not in the page cache
  uint64_t copied = 0;  // to devices: the same in the dtype that it is merged in
  uint64_t fused = 0;   // operands of all fusions
  uint64_t written = 0;
};
MergeWork count_work(const MergePlan& plan, const InputFiles& inputs);

/// Whether a device could merge any of what is left to do.
bool any_for_devices(const MergePlan& plan);

/// The kind of fusion that reads the most bytes; the plan must have one for devices.
FusionKind main_fusion(const MergePlan& plan);

/// What is cold of the tensors that have the most of it, the largest first, each as the models have it. What
/// several outputs read alike counts once.
std::vector<std::vector<ByteRange>> largest_cold_reads(const MergePlan& plan, const InputFiles& inputs,
                                                       size_t count);

}  // namespace branchmerge
