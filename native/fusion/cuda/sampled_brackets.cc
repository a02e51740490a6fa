#include "fusion/cuda/sampled_brackets.h"

#include <algorithm>
#include <cmath>

#include "fusion/arithmetic.h"
#include "fusion/cuda/kernels.h"

namespace branchmerge::cuda {
namespace {

constexpr uint64_t kMinElements = 1 << 16, kMinRows = 160, kWantedRows = 768;
constexpr uint64_t kMostScores = 1 << 20;  // of a sample: more would only wait for the same counters
constexpr uint64_t kShareInside = 12;      // a bracket has room for one element in so many

// Half-width of a bracket: so many standard errors, as the groups of rows differ among each other, and what
// interpolation within a bin may be off.
constexpr double kErrors = 4.5, kInterpolation = 0.004;

/// A sample's distribution: what share of it lies at or below a place, given in bins from zero.
class Distribution {
 public:
  explicit Distribution(std::vector<double> counts) : below_(std::move(counts)) {
    double total = 0;
    for (double& bin : below_) {
      total += bin;
      bin = total;
    }
    if (total > 0)
      for (double& bin : below_) bin /= total;
  }
  double share(double place) const {
    const size_t bin = std::min(size_t(place), below_.size() - 1);
    return before(bin) + (below_[bin] - before(bin)) * std::min(place - double(bin), 1.0);
  }
  double place(double share) const {
    const size_t bin = std::min(
        size_t(std::lower_bound(below_.begin(), below_.end(), share) - below_.begin()), below_.size() - 1);
    const double inside = below_[bin] - before(bin);
    return double(bin) + (inside > 0 ? std::clamp((share - before(bin)) / inside, 0.0, 1.0) : 0);
  }

 private:
  double before(size_t bin) const { return bin == 0 ? 0 : below_[bin - 1]; }
  std::vector<double> below_;
};

/// The score at a place: bins are the leading bits of a float32. The first holds zero, and little else.
double score_at(double place) {
  if (place < 1) return 0;
  return double(arithmetic::bit_cast<float>(uint32_t(place * double(1u << (31 - kSampleBits)))));
}

}  // namespace

bool sampling_pays(const RowShape& shape) {
  return shape.elements > kMinElements && shape.rows() >= kMinRows;
}

SampledRows::SampledRows(const RowShape& shape) {
  every = std::clamp<uint64_t>(shape.rows() / kWantedRows, 5, 31) | 1;
  first = every / 2;
  count = (shape.rows() - first + every - 1) / every;
  one_in = unsigned(std::max<uint64_t>(1, count * shape.row_length / kMostScores));
}

size_t bracket_bytes(const RowShape& shape) {
  return kMaxBrackets * sizeof(float) * (shape.elements / kShareInside + 1);
}

std::optional<SampledBrackets> sampled_brackets(const std::vector<unsigned>& counts,
                                                const FusionOptions& options, size_t score_bytes) {
  std::vector<Distribution> groups;
  std::vector<double> sum(kSampleBins);
  for (int g = 0; g < kSampleGroups; g++) {
    const auto first = counts.begin() + std::ptrdiff_t(g) * kSampleBins;
    groups.emplace_back(std::vector<double>(first, first + kSampleBins));
    for (size_t bin = 0; bin < sum.size(); bin++) sum[bin] += double(first[std::ptrdiff_t(bin)]);
  }
  const Distribution all(sum);
  // Half of the room, since blocks do not meet the same number of scores.
  const double widest = 0.5 / kShareInside * double(sizeof(float)) / double(score_bytes);
  const double unchanged = options.population == Population::kChanged ? all.share(1) : 0;
  SampledBrackets brackets{};
  for (size_t j = 0; j < 3; j++) {
    const double wanted = unchanged + (1 - unchanged) * double(j + 1) / 4, place = all.place(wanted);
    double variance = 0;
    for (const Distribution& group : groups) variance += std::pow(group.share(place) - wanted, 2);
    variance /= kSampleGroups - 1;
    const double half = kErrors * std::sqrt(variance / kSampleGroups) + kInterpolation;
    if (place >= 1 && 2 * half > widest) return {};
    brackets.low[j] = score_at(all.place(std::max(0.0, wanted - half)));
    brackets.high[j] = score_at(all.place(std::min(1.0, wanted + half)));
  }
  return brackets;
}

}  // namespace branchmerge::cuda
