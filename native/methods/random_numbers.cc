#include "methods/random_numbers.h"

#include <span>

#include "base/hash.h"

namespace branchmerge {

RandomNumbers::RandomNumbers(uint64_t seed, std::string_view tensor, uint64_t input) {
  const uint64_t name = xxh64(std::as_bytes(std::span(tensor.data(), tensor.size())));
  key_ = mix((mix((mix(seed + kGamma) ^ name) + kGamma) ^ input) + kGamma);
}

}  // namespace branchmerge
