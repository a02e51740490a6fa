#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "analysis/tensor_findings.h"
#include "base/worker_pool.h"
#include "tensor/dtype.h"
#include "tensor/tensor_reader.h"

namespace branchmerge {

/// A tensor in one file.
struct StoredTensor {
  TensorReader* reader;
  DType dtype;           // F16, BF16, F32 or F64
  std::string describe;  // for messages: "model.safetensors: tensor 'w'"
};

/// One tensor in all that is compared; all have as many elements.
struct TensorVersions {
  uint64_t elements;
  std::vector<StoredTensor> base;  // one, or none where there are no experts
  std::vector<StoredTensor> experts;
  std::vector<StoredTensor> merged;  // one or none
  std::vector<StoredTensor> gradients;
};

/// Elements that are looked at together.
inline constexpr uint64_t kAnalysisBlock = 1 << 16;

/// Compares the versions of a tensor, in two passes over them and one for each 16 further bits of a change.
///
/// A change is x − base in float32, rounded once, as the merge methods take it; in float64 where a version is
/// F64. Sums are float64 over the same segments whatever the workers: 16 lanes within 1024 elements, these in
/// order within a block of 2^16, blocks pairwise. So the error of a sum of n terms is at most
/// (140 + log2(n / 2^16)) · 2^-53 of the sum of the terms' magnitudes. Counts and thresholds are exact.
///
/// looked_at(bytes) is called as the versions' bytes are used, from any thread, in all once for each byte.
/// Throws ERR_NON_FINITE naming the first NaN or infinity, or sums beyond float64.
TensorFindings analyse_tensor(const TensorVersions& versions, WorkerPool& pool,
                              const std::function<void(uint64_t)>& looked_at);

}  // namespace branchmerge
