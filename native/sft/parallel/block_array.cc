#include "sft/parallel/block_array.h"

#include <numeric>

namespace branchmerge::sft {

uint64_t BlockArray::bytes_of(const std::vector<uint64_t>& floats) {
  return std::accumulate(floats.begin(), floats.end(), uint64_t{0}) * sizeof(float);
}

BlockArray::BlockArray(const std::vector<uint64_t>& floats)
    : begins_(floats.size() + 1), memory_(bytes_of(floats)) {
  std::inclusive_scan(floats.begin(), floats.end(), begins_.begin() + 1);
}

}  // namespace branchmerge::sft
