#pragma once
#include <cstdint>
#include <string_view>

namespace branchmerge {

/// The random numbers of one input of one tensor (docs/methods/README.md, Randomness): a function of seed,
/// name, input and place, so that neither threads nor slices enter.
class RandomNumbers {
 public:
  RandomNumbers(uint64_t seed, std::string_view tensor, uint64_t input);

  /// In [0, 1), of element i.
  double operator()(uint64_t i) const { return double(mix(key_ + (i + 1) * kGamma) >> 11) * 0x1p-53; }

 private:
  static constexpr uint64_t kGamma = 0x9e3779b97f4a7c15;
  static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  uint64_t key_;
};

}  // namespace branchmerge
