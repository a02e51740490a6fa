#pragma once
#include <bit>
#include <cstdint>

namespace branchmerge {

/// The value, or 0 where it is not kept; without a branch, which random masks and signs would mispredict.
inline double keep_if(bool kept, double value) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(value) & -uint64_t(kept));
}

}  // namespace branchmerge
