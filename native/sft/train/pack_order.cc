#include "sft/train/pack_order.h"

#include <numeric>
#include <utility>

namespace branchmerge::sft {
namespace {

/// SplitMix64 (Steele, Lea and Flood 2014).
class Generator {
 public:
  explicit Generator(uint64_t state) : state_(state) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  /// Uniform in [0, bound), without bias: draws that fall into the incomplete last stretch are drawn again.
  uint64_t below(uint64_t bound) {
    const uint64_t incomplete = (UINT64_MAX % bound + 1) % bound;
    uint64_t draw = next();
    while (draw > UINT64_MAX - incomplete) draw = next();
    return draw % bound;
  }

 private:
  uint64_t state_;
};

}  // namespace

PackOrder::PackOrder(uint64_t packs, uint64_t seed) : seed_(seed), order_(packs) { shuffle(0); }

uint32_t PackOrder::at(uint64_t epoch, uint64_t index) {
  if (epoch != epoch_) shuffle(epoch);
  return order_[index % order_.size()];
}

void PackOrder::shuffle(uint64_t epoch) {
  epoch_ = epoch;
  std::iota(order_.begin(), order_.end(), uint32_t{0});
  // The seed goes through the mixer first, so that (seed, epoch + 1) and (seed + 1, epoch) are unrelated.
  Generator generator(Generator(seed_).next() ^ epoch);
  for (uint64_t left = order_.size(); left > 1; left--)
    std::swap(order_[left - 1], order_[generator.below(left)]);
}

}  // namespace branchmerge::sft
