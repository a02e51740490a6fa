#pragma once
#include "base/worker_pool.h"
#include "sft/ops/backend.h"
#include "sft/ops/cpu/kernels.h"

namespace branchmerge::sft::cpu {

/// Backend::attention_scratch_bytes for so many workers.
uint64_t attention_scratch_bytes(size_t max_rows, size_t heads, size_t key_value_heads, size_t head_dim,
                                 size_t workers);
void attention(const AttentionShape& shape, const float* qkv, float* output, float* log_sums, void* scratch,
               const Kernels& kernels, WorkerPool& pool);
void attention_backward(const AttentionShape& shape, const float* qkv, const float* output,
                        const float* log_sums, const float* doutput, float* dqkv, void* scratch,
                        const Kernels& kernels, WorkerPool& pool);

}  // namespace branchmerge::sft::cpu
