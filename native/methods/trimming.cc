#include "methods/trimming.h"

#include <cmath>
#include <limits>
#include <utility>

#include "methods/keep_if.h"
#include "methods/magnitude_ranks.h"

namespace branchmerge {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

Trimming::Trimming(std::vector<double> density, std::vector<double> top)
    : density_(std::move(density)), top_(std::move(top)) {}

void Trimming::prepare(Passes& passes) {
  for (size_t m = 0; m < density_.size(); m++) bands_.push_back(find_band(passes, m, density_[m], top_[m]));
}

Trimming::Band Trimming::find_band(Passes& passes, size_t input, double density, double top) {
  const uint64_t n = passes.elements(), kept = uint64_t(std::floor(density * double(n)));
  if (kept == 0) return {kInfinity, 0};
  if (kept == n) return {0, kInfinity};
  const uint64_t above = std::min(uint64_t(std::floor(top * double(n))), n - kept);
  const std::vector<double> limits = magnitudes_at_ranks(
      passes, {n - kept - above, n - 1 - above}, passes.tiles().single(),
      [&](size_t, const Tile& tile) { return tile.inputs[input]; }, input);
  return {limits[0], limits[1]};
}

bool Trimming::keeps_everything(size_t input) const {
  return bands_[input].least == 0 && bands_[input].most == kInfinity;
}

void Trimming::thin(size_t, size_t input, uint64_t, double* difference, size_t n) const {
  const auto [least, most] = bands_[input];
  for (size_t i = 0; i < n; i++) {
    const double magnitude = std::fabs(difference[i]);
    difference[i] = keep_if((magnitude >= least) & (magnitude <= most), difference[i]);
  }
}

}  // namespace branchmerge
