#include "safetensors/hash_tensors.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/worker_pool.h"
#include "io/file.h"

namespace branchmerge {
namespace {

/// One read: large enough for the disk, and a whole number of hash pieces.
constexpr uint64_t kStretch = 16 * kHashPieceBytes;

/// Hashes stretches of one file with the threads of a pool.
class RangeHasher {
 public:
  RangeHasher(const std::string& path, size_t threads, const std::atomic<bool>& cancelled)
      : file_(File::open_for_reading(path)),
        pool_(threads),
        buffers_(pool_.workers(), std::vector<std::byte>(kStretch)),
        cancelled_(cancelled) {}

  /// The file's bytes [begin, begin + bytes), as if they stood at `place` of a file: this decides the cuts.
  uint64_t hash(uint64_t begin, uint64_t bytes, uint64_t place) {
    PlacedHash hash(place, bytes);
    const uint64_t end = place + bytes, first = place / kStretch, last = (end + kStretch - 1) / kStretch;
    pool_.for_each(bytes == 0 ? 0 : last - first, [&](size_t worker, size_t i) {
      if (cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
      const uint64_t from = std::max(place, (first + i) * kStretch);
      const uint64_t to = std::min(end, (first + i + 1) * kStretch);
      file_.read_exactly({buffers_[worker].data(), to - from}, begin + (from - place));
      hash.add(from - place, to - place, buffers_[worker].data());
    });
    return hash.value();
  }

 private:
  const File file_;
  WorkerPool pool_;
  std::vector<std::vector<std::byte>> buffers_;
  const std::atomic<bool>& cancelled_;
};

}  // namespace

std::vector<uint64_t> hash_tensors(const std::string& path, const HeaderFile& file, size_t threads,
                                   const std::atomic<bool>& cancelled) {
  RangeHasher hasher(path, threads, cancelled);
  std::vector<uint64_t> hashes;
  for (const TensorInfo& tensor : file.header.tensors)
    hashes.push_back(hasher.hash(tensor.begin, tensor.end - tensor.begin, tensor.begin));
  return hashes;
}

std::vector<uint64_t> hash_ranges(const std::string& path, std::span<const FileRange> ranges, size_t threads,
                                  const std::atomic<bool>& cancelled) {
  RangeHasher hasher(path, threads, cancelled);
  std::vector<uint64_t> hashes;
  for (const FileRange& range : ranges)
    hashes.push_back(hasher.hash(range.begin, range.end - range.begin, 0));
  return hashes;
}

}  // namespace branchmerge
