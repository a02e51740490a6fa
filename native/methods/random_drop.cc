#include "methods/random_drop.h"

#include <utility>

#include "methods/keep_if.h"

namespace branchmerge {

RandomDrop::RandomDrop(const OperandInfo& info, std::vector<double> density, uint64_t seed)
    : density_(std::move(density)) {
  for (size_t m = 0; m < density_.size(); m++) random_.emplace_back(seed, info.name, m);
}

void RandomDrop::thin(size_t, size_t input, uint64_t begin, double* difference, size_t n) const {
  const RandomNumbers random = random_[input];
  const double density = density_[input];
  for (size_t i = 0; i < n; i++) difference[i] = keep_if(random(begin + i) < density, difference[i]);
}

}  // namespace branchmerge
