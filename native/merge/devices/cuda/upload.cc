#include "merge/devices/cuda/upload.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "merge/devices/device_lane.h"
#include "tensor/convert.h"

namespace branchmerge::cuda {
namespace {

/// A stretch in the wanted dtype, in `staging` unless it lies in pinned memory already.
const std::byte* bytes_of(const LeafSource& source, uint64_t begin, uint64_t end, std::byte* staging,
                          LaneWorker& worker) {
  const uint64_t size = dtype_bits(source.stored) / 8;
  if (source.stored == source.read_as && source.read_as == source.wanted)
    return source.leaf->fetch(staging, begin * size, end * size);
  const std::byte* bytes = source.leaf->fetch(worker.converted[0], begin * size, end * size);
  const uint64_t elements = end - begin;
  if (source.stored == source.read_as || source.read_as == source.wanted) {
    if (convert_elements(source.stored, bytes, source.wanted, staging, elements) < elements)
      throw NotForDevice();
    return staging;
  }
  // As if the model had been stored in the tensor's dtype.
  worker.converted[1].resize(elements * dtype_bits(source.read_as) / 8);
  std::byte* const read = worker.converted[1].data();
  if (convert_elements(source.stored, bytes, source.read_as, read, elements) < elements ||
      convert_elements(source.read_as, read, source.wanted, staging, elements) < elements)
    throw NotForDevice();
  return staging;
}

}  // namespace

void upload(const LeafSource& source, uint64_t begin, uint64_t end, std::byte* to, const Stream& stream,
            size_t device, WorkerPool& pool, std::vector<LaneWorker>& workers,
            const std::atomic<bool>& cancelled) {
  const uint64_t size = dtype_bits(source.wanted) / 8,
                 largest = std::max<uint64_t>(size, dtype_bits(source.stored) / 8);
  // Cut where pieces of the hash are, so that few are read twice.
  const uint64_t stretch = kUploadBytes / largest;
  const uint64_t first = begin / stretch, last = (end + stretch - 1) / stretch;
  pool.for_each(last - first, [&](size_t index, size_t i) {
    if (cancelled) throw Error("ERR_CANCELLED", "The operation was cancelled");
    start_device(device);
    LaneWorker& worker = workers[index];
    const uint64_t from = std::max(begin, (first + i) * stretch),
                   until = std::min(end, (first + i + 1) * stretch);
    const size_t slot = worker.next++ % 2;
    worker.copied[slot].synchronize();
    const std::byte* bytes = bytes_of(source, from, until, worker.staging[slot].data(), worker);
    check(cudaMemcpyAsync(to + (from - begin) * size, bytes, (until - from) * size, cudaMemcpyHostToDevice,
                          stream),
          "copy a tensor to it");
    worker.copied[slot].record(stream);
  });
}

}  // namespace branchmerge::cuda
