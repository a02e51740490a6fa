#pragma once
#include <cstdint>
#include <string>

#include "sft/parallel/parameter_store.h"
#include "tensor/dtype.h"

namespace branchmerge::sft {

struct ExportOptions {
  std::string directory;  // of the checkpoint; it exists
  std::string staging;    // a directory on the same file system, made and removed here
  DType dtype;            // BF16, F16 or F32; rounding is to nearest even
  uint64_t max_shard_bytes;
};

/// What is to be said of a weight of this process that would be infinite in `dtype`; nothing where all fit.
std::string find_too_large(const ParameterStore& store, DType dtype);

/// Writes weights as a Hugging Face checkpoint: model.safetensors, or shards of at most max_shard_bytes
/// (a larger tensor has its own) with their index. Everything is written and synced under `staging` first;
/// then earlier weights in the directory go and the new ones are moved there, the index last. A tied head is
/// not written. Rank 0 writes, block by block. ERR_NON_FINITE for a weight that does not fit the dtype.
/// Collective.
void export_weights(const ExportOptions& options, const ParameterLayout& layout, WeightSource& weights,
                    Collectives& collectives, WorkerPool& workers);

}  // namespace branchmerge::sft
