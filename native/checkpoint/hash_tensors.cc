#include "checkpoint/hash_tensors.h"

#include <algorithm>

#include "checkpoint/file.h"
#include "checkpoint/hash.h"
#include "error.h"
#include "tensor/worker_pool.h"

namespace branchmerge {
namespace {

/// One read: large enough for the disk, and a whole number of hash pieces.
constexpr uint64_t kStretch = 16 * kHashPieceBytes;

}  // namespace

std::vector<uint64_t> hash_tensors(const std::string& path, const HeaderFile& file, size_t threads,
                                   const std::atomic<bool>& cancelled) {
  const File opened = File::open_for_reading(path);
  WorkerPool pool(threads);
  std::vector<std::vector<std::byte>> buffers(pool.workers(), std::vector<std::byte>(kStretch));
  std::vector<uint64_t> hashes;
  for (const TensorInfo& tensor : file.header.tensors) {
    PlacedHash hash(tensor.begin, tensor.end - tensor.begin);
    // Stretches of the file, cut at multiples of kStretch.
    const uint64_t first = tensor.begin / kStretch, last = (tensor.end + kStretch - 1) / kStretch;
    pool.for_each(tensor.begin == tensor.end ? 0 : last - first, [&](size_t worker, size_t i) {
      if (cancelled) throw Error("ERR_CANCELLED", "The operation was cancelled");
      const uint64_t begin = std::max(tensor.begin, (first + i) * kStretch);
      const uint64_t end = std::min(tensor.end, (first + i + 1) * kStretch);
      opened.read_exactly({buffers[worker].data(), end - begin}, begin);
      hash.add(begin - tensor.begin, end - tensor.begin, buffers[worker].data());
    });
    hashes.push_back(hash.value());
  }
  return hashes;
}

}  // namespace branchmerge
