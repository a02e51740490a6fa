#include "merge/equal_operator.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/error.h"

namespace branchmerge {

void EqualOperator::prepare(const std::vector<TensorReader*>& operands, WorkerPool& pool) {
  constexpr uint64_t kStretch = 1 << 20;
  const uint64_t size = dtype_bits(info_.dtype) / 8, bytes = info_.elements * size;
  std::atomic<uint64_t> first_difference{bytes};
  pool.for_each((bytes + kStretch - 1) / kStretch, [&](size_t worker, size_t i) {
    const uint64_t begin = i * kStretch, end = std::min(bytes, begin + kStretch);
    const std::byte* first = operands[0]->fetch(worker, begin, end);
    for (size_t other = 1; other < operands.size(); other++) {
      const std::byte* bytes_there = operands[other]->fetch(worker, begin, end);
      const uint64_t at =
          begin + uint64_t(std::mismatch(first, first + (end - begin), bytes_there).first - first);
      for (uint64_t seen = first_difference; at < end && at < seen;)
        if (first_difference.compare_exchange_weak(seen, at)) break;
    }
  });
  if (first_difference == bytes) return;
  throw Error("ERR_INTEGER_MISMATCH",
              "Tensor '" + info_.name + "' is " + std::string(dtype_name(info_.dtype)) +
                  " and differs between the models at element " + std::to_string(first_difference / size) +
                  ". Integer and bool tensors cannot be merged; they must be equal. If they are "
                  "quantised weights, merge the models before they are quantised.");
}

uint64_t EqualOperator::apply(size_t worker, uint64_t begin, uint64_t end,
                              const std::vector<TensorReader*>& operands, std::byte* out) {
  const uint64_t size = dtype_bits(info_.dtype) / 8;
  std::memcpy(out, operands[0]->fetch(worker, begin * size, end * size), (end - begin) * size);
  return 0;
}

TensorStats EqualOperator::stats() const {
  TensorStats stats;
  stats.identical = true;
  return stats;
}

}  // namespace branchmerge
