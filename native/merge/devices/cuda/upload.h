#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/hash.h"
#include "base/worker_pool.h"
#include "cuda/runtime.h"
#include "merge/leaf_tensor.h"
#include "tensor/dtype.h"

namespace branchmerge::cuda {

/// What a worker of a lane has of the device's.
struct LaneWorker {
  PinnedMemory staging[2];
  Event copied[2];
  size_t next = 0;  // of the staging buffers
  std::vector<std::byte> converted[2];
  std::vector<std::byte> room;
  Stream download;
};

/// Bytes that a worker copies to the device at a time: large enough for the link's full rate, small enough
/// that a lane's workers share a tensor.
inline constexpr uint64_t kUploadBytes = 4 << 20;
/// Room of a staging buffer: a leaf may read to the end of the hash piece.
inline constexpr uint64_t kStagingBytes = kUploadBytes + kHashPieceBytes;

/// A tensor of one model in the dtype that a step wants: `stored` → `read_as` → `wanted`.
struct LeafSource {
  LeafTensor* leaf;
  DType stored, read_as, wanted;
  bool operator==(const LeafSource&) const = default;
};

/// Puts elements [begin, end) of a leaf into device memory `to` by way of `stream`, shared by the workers,
/// which also hash it where nobody did. Bytes in the pinned ring of the read-ahead are copied from there,
/// others are read into the workers' pinned buffers. Throws ERR_CANCELLED.
void upload(const LeafSource& source, uint64_t begin, uint64_t end, std::byte* to, const Stream& stream,
            size_t device, WorkerPool& pool, std::vector<LaneWorker>& workers,
            const std::atomic<bool>& cancelled);

}  // namespace branchmerge::cuda
