// The quartiles of a tensor's scores, on the device from a sample to the values, so that the host need not
// wait in between: brackets around them, and the order statistics among what analyse_rows has collected
// there.
#include <algorithm>

#include "fusion/cuda/kernels.h"
#include "fusion/cuda/launch.h"
#include "fusion/cuda/scoring.cuh"

namespace branchmerge::cuda {
namespace {

// ---- brackets from a sample ----------------------------------------------------------------------

// Half-width of a bracket: so many standard errors, as the groups of rows differ among each other, and what
// interpolation within a bin may be off.
constexpr double kErrors = 4.5, kInterpolation = 0.004;

/// The sample's distribution: what share of it lies at or below a place, given in bins from zero.
struct Distribution {
  const unsigned* up_to;  // kSampleBins: scores in a bin and those before it

  __device__ __forceinline__ unsigned before(unsigned bin) const { return bin == 0 ? 0 : up_to[bin - 1]; }
  __device__ __forceinline__ double total() const { return up_to[kSampleBins - 1]; }

  __device__ __forceinline__ double place(double share) const {
    const double wanted = share * total();
    unsigned bin = 0;
    for (unsigned step = kSampleBins / 2; step > 0; step /= 2)
      if (up_to[bin + step - 1] < wanted) bin += step;
    const double inside = up_to[bin] - before(bin);
    const double part = inside > 0 ? (wanted - before(bin)) / inside : 0;
    return bin + (part < 0 ? 0 : part > 1 ? 1 : part);
  }
};

/// The score at a place: bins are the leading bits of a float32. The first holds zero, and little else.
__device__ __forceinline__ double score_at(double place) {
  if (place < 1) return 0;
  return arithmetic::bit_cast<float>(uint32_t(place * double(1u << (31 - kSampleBits))));
}

struct Quartile {
  double wanted, place;
};

/// Shares of a group at or below the quartiles' places, by a warp.
__device__ __forceinline__ void group_shares(const unsigned* counts,
                                             const Quartile (&quartiles)[kMaxBrackets],
                                             double (&shares)[kMaxBrackets]) {
  unsigned all = 0, before[kMaxBrackets] = {};
#pragma unroll 8
  for (unsigned i = lane_index(); i < unsigned(kSampleBins); i += kWarp) {
    const unsigned n = counts[i];
    all += n;
    for (int j = 0; j < kMaxBrackets; j++) before[j] += i < unsigned(quartiles[j].place) ? n : 0;
  }
  all = sum_of_warp(all);
  for (int j = 0; j < kMaxBrackets; j++) {
    const unsigned bin = unsigned(quartiles[j].place), here = bin < unsigned(kSampleBins) ? counts[bin] : 0;
    before[j] = sum_of_warp(before[j]);
    if (lane_index() == 0) shares[j] = all == 0 ? 0 : (before[j] + here * (quartiles[j].place - bin)) / all;
  }
}

constexpr unsigned kPlacingThreads = kSampleGroups * kWarp;

template <class Real>
__global__ void __launch_bounds__(kPlacingThreads)
    place_brackets_kernel(const unsigned* counts, const Placing placing, BracketState<Real>* state) {
  constexpr unsigned kBinsOfThread = kSampleBins / kPlacingThreads;
  BRANCHMERGE_SHARED(unsigned[kSampleBins], up_to);
  BRANCHMERGE_SHARED(unsigned[kPlacingThreads / kWarp], of_warps);
  BRANCHMERGE_SHARED(double[kSampleGroups][kMaxBrackets], shares);

  // The sum of all groups, and what lies up to each bin.
  const unsigned first = threadIdx.x * kBinsOfThread;
  unsigned own = 0;
  for (unsigned bin = first; bin < first + kBinsOfThread; bin++) {
    for (int group = 0; group < kSampleGroups; group++) own += counts[group * kSampleBins + bin];
    up_to[bin] = own;
  }
  const unsigned up_to_thread = sum_of_lanes_up_to(own);
  if (lane_index() == kWarp - 1) of_warps[warp_index()] = up_to_thread;
  __syncthreads();
  unsigned before = up_to_thread - own;
  for (unsigned w = 0; w < warp_index(); w++) before += of_warps[w];
  for (unsigned bin = first; bin < first + kBinsOfThread; bin++) up_to[bin] += before;
  __syncthreads();

  const Distribution all{up_to};
  if (all.total() == 0) return;
  const double unchanged = placing.changed_only ? all.up_to[0] / all.total() : 0;
  Quartile quartiles[kMaxBrackets];
  for (int j = 0; j < kMaxBrackets; j++) {
    quartiles[j].wanted = unchanged + (1 - unchanged) * (j + 1) / 4;
    quartiles[j].place = all.place(quartiles[j].wanted);
  }
  group_shares(counts + warp_index() * kSampleBins, quartiles, shares[warp_index()]);
  __syncthreads();
  if (threadIdx.x != 0) return;
  bool narrow = true;
  for (int j = 0; j < kMaxBrackets; j++) {
    const auto [wanted, place] = quartiles[j];
    double variance = 0;
    for (int group = 0; group < kSampleGroups; group++)
      variance += (shares[group][j] - wanted) * (shares[group][j] - wanted);
    variance /= kSampleGroups - 1;
    const double half = kErrors * sqrt(variance / kSampleGroups) + kInterpolation;
    narrow &= !(place >= 1 && 2 * half > placing.widest);
    state->low[j] = Real(score_at(all.place(wanted > half ? wanted - half : 0)));
    state->high[j] = Real(score_at(all.place(wanted + half < 1 ? wanted + half : 1)));
  }
  state->placed = narrow;
}

// ---- order statistics of what was collected ------------------------------------------------------

constexpr unsigned kCountingThreads = 256, kCountingWarps = kCountingThreads / kWarp;

/// A warp counts a run. first: nothing is known of the keys yet.
template <class Real>
__global__ void __launch_bounds__(kCountingThreads)
    count_collected_kernel(const __grid_constant__ Brackets<Real> brackets,
                           const __grid_constant__ Digits start, const bool first,
                           const Selection<Real>* selection) {
  // A run that had no room for all holds less than its size says.
  if (selection->failed || brackets.state->overflowed) return;
  BRANCHMERGE_DYNAMIC_SHARED(memory);
  DigitCounts counts(first ? start : selection->digits, reinterpret_cast<unsigned*>(memory));
  counts.begin();
  __syncthreads();
  for (unsigned run = blockIdx.x * kCountingWarps + warp_index(); run < brackets.runs;
       run += gridDim.x * kCountingWarps) {
    const Real* scores = brackets.scores + uint64_t(run) * brackets.capacity;
    for (unsigned i = lane_index(); i < brackets.sizes[run]; i += kWarp)
      counts.count(arithmetic::order_key(scores[i]));
  }
  __syncthreads();
  counts.finish();
}

/// A quartile's rank among the collected scores; false when it is not among them.
template <class Real>
__device__ bool begin_target(const BracketState<Real>& state, const QuartilePopulation& population,
                             unsigned t, typename Selection<Real>::Target& target) {
  target.wanted = 0;
  target.slot = 0;
  target.value = 0;
  if (!state.placed || state.overflowed || population.size() == 0) return false;
  const RankedElement element = ranked_element(population, t / 2 + 1, t % 2 == 1);
  if (element.is_zero) return true;
  const unsigned long long below = state.below[t / 2];
  target.wanted = 1;
  target.rank = element.rank - below;
  return element.rank >= below && target.rank < state.collected;
}

/// Moves a target on to the bin that holds its rank: the bin, by a warp; counts must hold the rank.
__device__ __forceinline__ unsigned find_bin(const unsigned long long* counts, int bits,
                                             unsigned long long& rank) {
  const unsigned bins_of_lane = (1u << bits) / kWarp, first = lane_index() * bins_of_lane;
  unsigned long long own = 0;
  for (unsigned i = 0; i < bins_of_lane; i++) own += counts[first + i];
  unsigned long long before = 0;
  for (unsigned l = 0; l < kWarp; l++) {
    const unsigned long long of_lane = __shfl_sync(kWholeWarp, own, int(l));
    if (l < lane_index()) before += of_lane;
  }
  const unsigned holders = __ballot_sync(kWholeWarp, before <= rank && rank - before < own);
  unsigned bin = first;
  unsigned long long rest = rank - before;
  if (holders >> lane_index() & 1)
    for (; rest >= counts[bin]; bin++) rest -= counts[bin];
  const int holder = holders == 0 ? 0 : __ffs(int(holders)) - 1;
  rank = __shfl_sync(kWholeWarp, rest, holder);
  return __shfl_sync(kWholeWarp, bin, holder);
}

/// A warp for each target: from what was counted of one digit to the next, which `after` lacks only prefixes
/// for. The last digit has none after it, `after.bits` is 0.
template <class Real>
__global__ void __launch_bounds__(kQuartileElements* kWarp)
    narrow_kernel(const BracketState<Real>* state, QuartilePopulation population, const Summary* summary,
                  const __grid_constant__ Digits counted, const bool first,
                  const __grid_constant__ Digits after, Selection<Real>* selection) {
  using Key = typename arithmetic::Constants<Real>::Bits;
  BRANCHMERGE_SHARED(uint64_t[kQuartileElements], prefixes);
  BRANCHMERGE_SHARED(unsigned[kQuartileElements], failed);
  const unsigned t = warp_index();
  auto& target = selection->targets[t];
  if (lane_index() == 0) {
    population.changed = summary->changed;
    failed[t] = first ? !begin_target(*state, population, t, target) : selection->failed;
  }
  __syncwarp();
  if (target.wanted && !failed[t]) {
    unsigned long long rank = target.rank;
    const unsigned bin = find_bin(counted.counts + target.slot * kMaxDigitBins, counted.bits, rank);
    const uint64_t prefix = (first ? 0 : selection->digits.prefix[target.slot] << counted.bits) | bin;
    if (lane_index() == 0) {
      target.rank = rank;
      prefixes[t] = prefix;
      if (after.bits == 0) {
        target.value = arithmetic::value_of_key(Key(prefix));
        failed[t] = !(target.value >= state->low[t / 2] && target.value <= state->high[t / 2]);
      }
    }
  }
  __syncthreads();
  for (unsigned i = threadIdx.x; i < unsigned(kQuartileElements) * kMaxDigitBins; i += blockDim.x)
    counted.counts[i] = 0;
  if (threadIdx.x != 0) return;
  Digits next = after;
  for (unsigned i = 0; i < unsigned(kQuartileElements); i++) {
    selection->failed |= failed[i];
    if (!selection->targets[i].wanted) continue;
    int slot = 0;
    while (slot < next.prefixes && next.prefix[slot] != prefixes[i]) slot++;
    if (slot == next.prefixes) next.prefix[next.prefixes++] = prefixes[i];
    selection->targets[i].slot = unsigned(slot);
  }
  selection->digits = next;
}

__global__ void add_kernel(unsigned long long* counter, unsigned long long amount) { *counter += amount; }

}  // namespace

template <class Real>
void place_brackets(const unsigned* sample_counts, const Placing& placing, BracketState<Real>* state,
                    cudaStream_t stream) {
  launch("place brackets", place_brackets_kernel<Real>, 1, kPlacingThreads, 0, stream, sample_counts, placing,
         state);
}
template void place_brackets(const unsigned*, const Placing&, BracketState<float>*, cudaStream_t);
template void place_brackets(const unsigned*, const Placing&, BracketState<double>*, cudaStream_t);

template <class Real>
void select_quartiles(const Brackets<Real>& brackets, const QuartilePopulation& population,
                      const Summary* summary, unsigned long long* counts, Selection<Real>* selection,
                      cudaStream_t stream) {
  const auto digits_at = [&](int left) {
    Digits digits;
    digits.bits = std::min(left, kMaxDigitBits);
    digits.shift = left - digits.bits;
    digits.counts = counts;
    return digits;
  };
  constexpr int kKeyBits = sizeof(Real) * 8;
  const auto count = count_collected_kernel<Real>;
  allow_shared_memory(count, 0);
  const unsigned wanted = (brackets.runs + kCountingWarps - 1) / kCountingWarps;
  for (int left = kKeyBits; left > 0;) {
    const bool first = left == kKeyBits;
    Digits digits = digits_at(left);
    digits.prefixes = first ? 1 : kQuartileElements;  // at most
    left -= digits.bits;
    const size_t shared = digit_count_bytes(digits);
    const unsigned blocks = std::min(wanted, resident_blocks(count, kCountingThreads, shared));
    launch("count scores", count, blocks, kCountingThreads, shared, stream, brackets, digits, first,
           selection);
    launch("look quartiles up", narrow_kernel<Real>, 1, kQuartileElements * kWarp, 0, stream, brackets.state,
           population, summary, digits, first, digits_at(left), selection);
  }
}
template void select_quartiles(const Brackets<float>&, const QuartilePopulation&, const Summary*,
                               unsigned long long*, Selection<float>*, cudaStream_t);
template void select_quartiles(const Brackets<double>&, const QuartilePopulation&, const Summary*,
                               unsigned long long*, Selection<double>*, cudaStream_t);

void add_to(unsigned long long* counter, unsigned long long amount, cudaStream_t stream) {
  launch("add up", add_kernel, 1, 1, 0, stream, counter, amount);
}

}  // namespace branchmerge::cuda
