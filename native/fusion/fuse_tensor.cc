#include "fusion/fuse_tensor.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "error.h"
#include "fusion/order_statistics.h"
#include "fusion/row_divergence.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

/// Elements that one task looks at: a pair of bf16 blocks is half of a MiB and stays in a core's L2 cache. A
/// multiple of kSegment, so that a task's segments are the row's.
constexpr uint64_t kBlock = 1 << 17;

/// Rows longer than this are shared by several tasks.
constexpr uint64_t kLongRow = 1 << 20;

/// Scores whose largest lies outside are computed in float64: float32 would lose small ones to underflow (its
/// smallest normal is 2^-126) or large ones to infinity.
constexpr double kSmallestSingleScore = 0x1p-64, kLargestSingleScore = 0x1p120,
                 kSmallestSingleQuartile = 0x1p-100;

/// A worker's 32-bit counters are added to the tensor's 64-bit ones before they can overflow.
constexpr uint64_t kFlushAfter = uint64_t(1) << 30;

cpu::Storage storage_of(DType dtype) {
  switch (dtype) {
    case DType::BF16:
      return cpu::Storage::kBF16;
    case DType::F16:
      return cpu::Storage::kF16;
    case DType::F32:
      return cpu::Storage::kF32;
    default:
      return cpu::Storage::kF64;
  }
}

const unsigned char* raw(const std::byte* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }

bool is_non_finite(DType dtype, const std::byte* element) {
  double value;
  convert_elements(dtype, element, DType::F64, reinterpret_cast<std::byte*>(&value), 1);
  return !std::isfinite(value);
}

std::string value_text(DType dtype, const std::byte* element) {
  double value;
  convert_elements(dtype, element, DType::F64, reinterpret_cast<std::byte*>(&value), 1);
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

/// The smallest Real that is >= bound, or > bound: what a score must reach.
template <class Real>
Real least_passing(double bound, bool strictly_above) {
  const Real nearest = Real(bound);
  const bool passes = strictly_above ? double(nearest) > bound : double(nearest) >= bound;
  return passes ? nearest : std::nextafter(nearest, std::numeric_limits<Real>::infinity());
}

/// Rank k of the population as a rank among all elements: the unchanged ones score zero, and lie between the
/// scores below zero and the rest.
uint64_t rank_among_all(uint64_t rank, uint64_t below_zero, uint64_t unchanged) {
  return rank < below_zero ? rank : rank + unchanged;
}

/// Brackets around the quartiles come from one score in 512, at least so many and at most 2^20; below
/// kSmallTensor all scores are looked at.
constexpr uint64_t kSampleOneIn = 512, kMinSamples = 1 << 13, kMaxSamples = 1 << 20;
constexpr uint64_t kSmallTensor = 1 << 16;

/// Half-width of a bracket in standard deviations of a sampled rank. One tensor in some thousand misses, is
/// noticed by its counts, and costs one more pass.
constexpr double kBracketDeviations = 3.5;

/// A position for each stratum that is the same in every run and follows no pattern of the rows.
uint64_t scramble(uint64_t x) {
  x = (x + 1) * 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

struct Quartiles {
  double q1 = 0, median = 0, q3 = 0;
};

}  // namespace

// Buffers that outlive a tensor.
struct TensorFuser::Scratch {
  struct Worker {
    std::vector<uint32_t> counts;  // histogram or refinement
    std::vector<double> sums;
    std::vector<uint32_t> offsets;
    std::vector<std::byte> elements;
    std::unique_ptr<double[]> inside[cpu::kMaxBrackets];  // room for `capacity` scores of either precision
    size_t capacity = 0;
    uint64_t counted = 0, zeros = 0, below_zero = 0;
  };
  std::vector<Worker> workers;
  std::mutex totals_mutex;
  std::vector<std::vector<uint64_t>> totals;
};

template <class Real>
class TensorFuser::Fusion {
 public:
  Fusion(TensorFuser& fuser, const cpu::Kernels<Real>& kernels, const TensorPair& pair, DType output_dtype,
         TensorSource& source, TensorSink& sink)
      : options_(fuser.options_),
        pool_(fuser.pool_),
        scratch_(*fuser.scratch_),
        kernels_(kernels),
        divergence_(kernels, fuser.options_.epsilon),
        pair_(pair),
        output_dtype_(output_dtype),
        source_(source),
        sink_(sink),
        size_(dtype_bits(pair.dtype) / 8),
        n_(pair.elements),
        tensor_scope_(options_.scope == Scope::kTensor),
        row_length_(tensor_scope_        ? n_
                    : pair.shape.empty() ? 1
                                         : pair.shape.back()),
        is_signed_(options_.score == Score::kSigned),
        brackets_(!tensor_scope_ && !is_signed_ && row_length_ > 1 && row_length_ <= kLongRow) {}

  /// False when the scores do not fit float32's range: nothing has been written yet, and float64 must do it.
  bool run(TensorStats& stats, bool first) {
    first_ = first;
    row_length_ > kLongRow ? analyse_long_rows() : analyse_blocks();
    first_ = false;
    if (non_finite_) return keep_finite_side(stats), true;
    // Either is right (docs/fusion.md); the gate's rule says which is counted.
    stats.identical = !bits_differ_;
    if (sizeof(Real) == sizeof(float) && exceeds_single()) return false;
    if (!std::isfinite(max_score_)) throw_overflow();

    const std::optional<Quartiles> quartiles = find_quartiles();
    if (!quartiles) return false;
    report(stats, *quartiles);
    stats.kept = write_fused(*quartiles);
    return true;
  }

 private:
  using Bytes = const unsigned char*;
  using Kernel = void (*)(Bytes, Bytes, size_t, const cpu::RowConstants<Real>&, double*);

  /// Elements [begin, end) of both sides.
  struct Stretch {
    Bytes left, right;
    uint64_t begin, size;
    Bytes left_at(uint64_t element) const { return left + (element - begin) * size; }
    Bytes right_at(uint64_t element) const { return right + (element - begin) * size; }
  };
  Stretch fetch(size_t worker, uint64_t begin, uint64_t end) {
    const PairBytes bytes = first_ ? source_.fetch_first(worker, begin * size_, end * size_)
                                   : source_.fetch(worker, begin * size_, end * size_);
    return {raw(bytes.left), raw(bytes.right), begin, size_};
  }

  bool right_is_p() const { return options_.divergence == Divergence::kRightLeft; }
  Bytes p(const Stretch& s, uint64_t element) const {
    return right_is_p() ? s.right_at(element) : s.left_at(element);
  }
  Bytes q(const Stretch& s, uint64_t element) const {
    return right_is_p() ? s.left_at(element) : s.right_at(element);
  }

  // ---- pass 1: divergences, and a sample of the scores -------------------------------------------

  void analyse_blocks() {
    const uint64_t rows = n_ / row_length_;
    const uint64_t rows_per_block = std::max<uint64_t>(1, kBlock / row_length_);
    // Rows of one element have no divergence.
    kl_.assign(row_length_ == 1 ? 1 : rows, Real(0));
    if (brackets_ && n_ > kSmallTensor)
      samples_.resize(std::min(kMaxSamples, std::max(kMinSamples, n_ / kSampleOneIn)));
    pool_.for_each((rows + rows_per_block - 1) / rows_per_block, [&](size_t worker, size_t i) {
      const uint64_t first = i * rows_per_block, last = std::min(rows, first + rows_per_block);
      const Stretch stretch = fetch(worker, first * row_length_, last * row_length_);
      if (row_length_ == 1)
        note_extent(kernels_.extent(stretch.left, stretch.right, last - first));
      else
        for (uint64_t row = first; row < last; row++) analyse_row(scratch_.workers[worker], stretch, row);
    });
  }

  void analyse_row(Scratch::Worker& mine, const Stretch& stretch, uint64_t row) {
    const uint64_t at = row * row_length_, segments = segments_of(row_length_);
    mine.sums.resize(cpu::kSlightSums * segments);
    cpu::Extent<Real> extent =
        kernels_.slight_sums(p(stretch, at), q(stretch, at), row_length_, mine.sums.data());
    note_extent(extent);
    if (extent.non_finite) return;
    const std::optional<Real> slight = divergence_.slight(extent, row_length_, mine.sums);
    const Real kl = slight ? *slight : general_divergence(mine, stretch, at);
    kl_[row] = kl;
    if (tensor_scope_) return;
    note_score(double(kl) * double(extent.max_difference));
    sample_row(mine, stretch, at, kl);
  }

  Real general_divergence(Scratch::Worker& mine, const Stretch& stretch, uint64_t at) const {
    const cpu::Extent<Real> extent = kernels_.extent(stretch.left_at(at), stretch.right_at(at), row_length_);
    return divergence_of(extent, [&](Kernel kernel, const cpu::RowConstants<Real>& constants, size_t width) {
      mine.sums.resize(width * segments_of(row_length_));
      kernel(p(stretch, at), q(stretch, at), row_length_, constants, mine.sums.data());
      return std::span<const double>(mine.sums);
    });
  }

  // The tensor is cut into as many strata as there are samples, and each gives one element. Neighbours would
  // share their row's divergence and tell little more than one of them.
  void sample_row(Scratch::Worker& mine, const Stretch& stretch, uint64_t at, Real kl) {
    if (samples_.empty()) return;
    const uint64_t stratum = n_ / samples_.size();
    mine.offsets.clear();
    uint64_t first = 0;
    for (uint64_t k = at / stratum; k < samples_.size() && k * stratum < at + row_length_; k++) {
      const uint64_t element = k * stratum + scramble(k) % stratum;
      if (element < at || element >= at + row_length_) continue;
      if (mine.offsets.empty()) first = k;
      mine.offsets.push_back(uint32_t(element - at));
    }
    kernels_.sample(stretch.left_at(at), stretch.right_at(at), mine.offsets.data(), mine.offsets.size(), kl,
                    is_signed_, &samples_[first]);
  }

  void analyse_long_rows() {
    const uint64_t rows = n_ / row_length_;
    kl_.assign(rows, Real(0));
    const uint64_t chunks = (row_length_ + kBlock - 1) / kBlock;
    std::vector<cpu::Extent<Real>> extents(chunks);
    std::vector<double> sums;
    for (uint64_t row = 0; row < rows; row++) {
      const uint64_t at = row * row_length_;
      const auto for_chunks = [&](const auto& visit) {
        pool_.for_each(chunks, [&](size_t worker, size_t chunk) {
          const uint64_t begin = at + chunk * kBlock, end = std::min(at + row_length_, begin + kBlock);
          visit(chunk, fetch(worker, begin, end), end - begin);
        });
      };
      for_chunks([&](size_t chunk, const Stretch& stretch, uint64_t n) {
        extents[chunk] = kernels_.extent(stretch.left, stretch.right, n);
        note_extent(extents[chunk]);
      });
      if (non_finite_) continue;
      const bool was_first = std::exchange(first_, false);
      const cpu::Extent<Real> extent = combine(extents);
      kl_[row] =
          divergence_of(extent, [&](Kernel kernel, const cpu::RowConstants<Real>& constants, size_t width) {
            sums.resize(width * segments_of(row_length_));
            for_chunks([&](size_t chunk, const Stretch& stretch, uint64_t n) {
              kernel(p(stretch, stretch.begin), q(stretch, stretch.begin), n, constants,
                     &sums[width * (chunk * kBlock / cpu::kSegment)]);
            });
            return std::span<const double>(sums);
          });
      first_ = was_first;
      if (!tensor_scope_) note_score(double(kl_[row]) * double(extent.max_difference));
    }
  }

  template <class Run>
  Real divergence_of(const cpu::Extent<Real>& extent, const Run& run) const {
    const bool swap = right_is_p();
    return divergence_(swap ? extent.max_right : extent.max_left, swap ? extent.max_left : extent.max_right,
                       extent, run);
  }

  static cpu::Extent<Real> combine(const std::vector<cpu::Extent<Real>>& parts) {
    cpu::Extent<Real> whole = parts[0];
    for (const cpu::Extent<Real>& part : parts) {
      whole.max_left = std::max(whole.max_left, part.max_left);
      whole.max_right = std::max(whole.max_right, part.max_right);
      whole.max_magnitude = std::max(whole.max_magnitude, part.max_magnitude);
      whole.max_difference = std::max(whole.max_difference, part.max_difference);
    }
    return whole;
  }

  void note_extent(const cpu::Extent<Real>& extent) {
    if (extent.non_finite) non_finite_ = true;
    if (extent.bits_differ) bits_differ_ = true;
    changed_ += extent.changed;
    // Tensor scope compares differences alone: the divergence is one factor of both sides.
    if (tensor_scope_) note_score(double(extent.max_difference));
  }

  void note_score(double score) {
    if (std::isnan(score)) score = std::numeric_limits<double>::infinity();
    for (double seen = max_score_; !(seen >= score) && !max_score_.compare_exchange_weak(seen, score);)
      continue;
  }

  /// Scores too small or too large for float32: its smallest normal is 2^-126.
  bool exceeds_single() const {
    const double largest = max_score_;
    if (largest >= kLargestSingleScore) return true;
    // Differences alone cannot underflow unless the weights themselves do.
    if (tensor_scope_ || row_length_ == 1) return false;
    return largest < kSmallestSingleScore && changed_ > 0;
  }

  // ---- counting scores ---------------------------------------------------------------------------

  void begin_counting(size_t tables, size_t table_size) {
    scratch_.totals.assign(tables, std::vector<uint64_t>(cpu::kHistogramBins));
    for (Scratch::Worker& worker : scratch_.workers) {
      worker.counts.assign(tables * table_size, 0);
      worker.counted = worker.zeros = worker.below_zero = 0;
    }
  }

  // The factor of every score of the tensor where there is one: no need to go row by row.
  bool one_factor() const { return tensor_scope_ || row_length_ == 1; }
  Real factor() const { return tensor_scope_ ? Real(1) : kl_[0]; }

  /// visit(begin, n, kl) for the stretches of [begin, end) that share a divergence.
  template <class Visit>
  void for_runs(uint64_t begin, uint64_t end, const Visit& visit) const {
    if (one_factor()) return visit(begin, end - begin, factor());
    for (uint64_t at = begin; at < end;) {
      const uint64_t row = at / row_length_, stop = std::min(end, (row + 1) * row_length_);
      visit(at, stop - at, kl_[row]);
      at = stop;
    }
  }

  void count_scores() {
    begin_counting(1, 2 * cpu::kHistogramBins);
    for_element_blocks([&](size_t worker, const Stretch& stretch, uint64_t begin, uint64_t end) {
      Scratch::Worker& mine = scratch_.workers[worker];
      for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
        if (kl == 0) {
          mine.zeros += n;
          return;
        }
        mine.below_zero += kernels_.histogram(stretch.left_at(at), stretch.right_at(at), n, kl, is_signed_,
                                              mine.counts.data());
        mine.counted += n;
      });
      if (mine.counted > kFlushAfter) flush(mine, 1, 2);
    });
    for (Scratch::Worker& worker : scratch_.workers) {
      if (worker.counted) flush(worker, 1, 2);
      scratch_.totals[0][kZeroBin] += worker.zeros;
      below_zero_ += worker.below_zero;
    }
  }

  template <class Visit>
  void for_element_blocks(const Visit& visit) {
    pool_.for_each((n_ + kBlock - 1) / kBlock, [&](size_t worker, size_t i) {
      const uint64_t begin = i * kBlock, end = std::min(n_, begin + kBlock);
      visit(worker, fetch(worker, begin, end), begin, end);
    });
  }

  // `interleaved` tables in a worker's counts belong to one total.
  void flush(Scratch::Worker& worker, size_t tables, size_t interleaved) {
    std::lock_guard lock(scratch_.totals_mutex);
    for (size_t t = 0; t < tables; t++)
      for (size_t i = 0; i < interleaved * cpu::kHistogramBins; i++)
        scratch_.totals[t][i / interleaved] += worker.counts[t * interleaved * cpu::kHistogramBins + i];
    std::fill(worker.counts.begin(), worker.counts.end(), 0);
    worker.counted = 0;
  }

  // ---- quartiles ---------------------------------------------------------------------------------

  /// The element at a quartile's rank and, to interpolate, the next. Ranks are among all elements.
  struct Target {
    uint64_t rank[2];
    double value[2] = {0, 0};
    bool is_zero[2];  // an unchanged element: no need to look for it
  };

  /// Nothing when float32 does not hold them.
  std::optional<Quartiles> find_quartiles() {
    const bool changed_only = options_.population == Population::kChanged;
    const uint64_t population = changed_only ? changed_.load() : n_;
    if (population == 0 || max_score_ == 0) return Quartiles{};
    if (!brackets_) count_scores();

    const uint64_t unchanged = n_ - changed_;
    std::array<Target, 3> targets;
    for (uint64_t i = 0; i < 3; i++) {
      const uint64_t rank = quarter_rank(i + 1, population);
      const uint64_t next =
          options_.quantile == Quantile::kLinear ? std::min(rank + 1, population - 1) : rank;
      for (int j = 0; j < 2; j++) {
        const uint64_t wanted = j == 0 ? rank : next;
        targets[i].rank[j] = changed_only ? rank_among_all(wanted, below_zero_, unchanged) : wanted;
        targets[i].is_zero[j] =
            targets[i].rank[j] >= below_zero_ && targets[i].rank[j] < below_zero_ + unchanged;
      }
    }
    if (!brackets_ || !select_by_brackets(targets)) {
      if (brackets_) count_scores();
      select_by_counting(targets);
    }
    // A changed element's score this small may have lost digits, or be a zero that should not be.
    if (sizeof(Real) == sizeof(float) && !tensor_scope_)
      for (const Target& target : targets)
        for (int j = 0; j < 2; j++)
          if (!target.is_zero[j] && std::abs(target.value[j]) < kSmallestSingleQuartile) return {};

    const auto quartile = [&](uint64_t i) {
      const auto [low, high] = targets[i].value;
      return low + (high - low) * quarter_fraction(i + 1, population);
    };
    return Quartiles{quartile(0), quartile(1), quartile(2)};
  }

  // floor(k/4·(n − 1)) and what the floor cuts off, in integers: exact at every size.
  static uint64_t quarter_rank(uint64_t k, uint64_t n) { return (n - 1) / 4 * k + (n - 1) % 4 * k / 4; }
  double quarter_fraction(uint64_t k, uint64_t n) const {
    return options_.quantile == Quantile::kLinear ? double((n - 1) % 4 * k % 4) / 4 : 0;
  }

  /// One pass that counts what lies below a bracket and keeps what lies in it. False when a bracket missed.
  bool select_by_brackets(std::array<Target, 3>& targets) {
    std::vector<Target*> open;
    for (Target& target : targets)
      if (!target.is_zero[0] || !target.is_zero[1]) open.push_back(&target);
    if (open.empty()) return true;

    cpu::Brackets<Real> brackets{};
    brackets.count = int(open.size());
    std::sort(samples_.begin(), samples_.end());
    // Room for thrice what is expected, of which no worker meets much more than its part.
    const double share = 3 * std::min(1.0, 2.0 / double(pool_.workers()));
    double widest = 1;
    for (size_t j = 0; j < open.size(); j++) widest = std::min(widest, place_bracket(*open[j], brackets, j));
    brackets.capacity = samples_.empty() ? n_ : size_t(share * double(n_) * (1 - widest)) + kSmallTensor;

    std::vector<cpu::Brackets<Real>> found(pool_.workers(), brackets);
    for (size_t w = 0; w < found.size(); w++) give_room(scratch_.workers[w], found[w]);
    for_element_blocks([&](size_t worker, const Stretch& stretch, uint64_t begin, uint64_t end) {
      for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
        kernels_.bracket(stretch.left_at(at), stretch.right_at(at), n, kl, found[worker]);
      });
    });
    std::atomic<bool> missed{false};
    pool_.for_each(open.size(), [&](size_t, size_t j) {
      if (!select_inside(*open[j], found, j)) missed = true;
    });
    return !missed;
  }

  /// Returns the share of the tensor outside of the bracket.
  double place_bracket(const Target& target, cpu::Brackets<Real>& brackets, size_t j) const {
    const Real infinity = std::numeric_limits<Real>::infinity();
    brackets.low[j] = -infinity;
    brackets.high[j] = infinity;
    if (samples_.empty()) return 0;
    const double m = double(samples_.size());
    const auto sampled = [&](uint64_t rank, double sign) {
      const double f = double(rank) / double(n_);
      return f * m + sign * (kBracketDeviations * std::sqrt(m * f * (1 - f)) + 1);
    };
    const double low = std::floor(sampled(target.rank[0], -1)), high = std::ceil(sampled(target.rank[1], +1));
    if (low >= 0) brackets.low[j] = samples_[size_t(low)];
    if (high < m) brackets.high[j] = samples_[size_t(high)];
    return 1 - (std::min(high, m) - std::max(low, 0.0)) / m;
  }

  static void give_room(Scratch::Worker& worker, cpu::Brackets<Real>& brackets) {
    if (worker.capacity < brackets.capacity) {
      for (auto& room : worker.inside) room = std::make_unique_for_overwrite<double[]>(brackets.capacity);
      worker.capacity = brackets.capacity;
    }
    for (int j = 0; j < brackets.count; j++)
      brackets.inside[j] = reinterpret_cast<Real*>(worker.inside[j].get());
  }

  static bool select_inside(Target& target, const std::vector<cpu::Brackets<Real>>& found, size_t j) {
    uint64_t below = 0;
    std::vector<Real> inside;
    for (const cpu::Brackets<Real>& each : found) {
      if (each.inside_size[j] > each.capacity) return false;
      below += each.at_most_low[j];
      inside.insert(inside.end(), each.inside[j], each.inside[j] + each.inside_size[j]);
    }
    for (int i = 0; i < 2; i++) {
      if (target.is_zero[i]) continue;
      if (i == 1 && target.rank[1] == target.rank[0]) {
        target.value[1] = target.value[0];
        continue;
      }
      if (target.rank[i] < below || target.rank[i] - below >= inside.size()) return false;
      const auto wanted = inside.begin() + std::ptrdiff_t(target.rank[i] - below);
      std::nth_element(inside.begin(), wanted, inside.end());
      target.value[i] = double(*wanted);
    }
    return true;
  }

  /// Counting the leading bits of all scores, then the next of those in question: any scores, and no misses.
  void select_by_counting(std::array<Target, 3>& targets) {
    std::vector<uint64_t> ranks;
    std::vector<double*> values;
    for (Target& target : targets)
      for (int i = 0; i < 2; i++) {
        if (target.is_zero[i]) continue;
        ranks.push_back(target.rank[i]);
        values.push_back(&target.value[i]);
      }
    if (ranks.empty()) return;
    OrderStatistics statistics(std::move(ranks), sizeof(Key) * 8);
    statistics.narrow(scratch_.totals);
    while (!statistics.finished()) {
      count_prefixes(statistics.prefixes(), statistics.shift());
      statistics.narrow(scratch_.totals);
    }
    const std::vector<uint64_t> keys = statistics.keys();
    for (size_t i = 0; i < keys.size(); i++) *values[i] = double(arithmetic::value_of_key(Key(keys[i])));
  }

  void count_prefixes(const std::vector<uint64_t>& prefixes, int shift) {
    begin_counting(prefixes.size(), cpu::kHistogramBins);
    for_element_blocks([&](size_t worker, const Stretch& stretch, uint64_t begin, uint64_t end) {
      Scratch::Worker& mine = scratch_.workers[worker];
      cpu::Refinement refinement{int(prefixes.size()), shift, {}, {}};
      for (size_t t = 0; t < prefixes.size(); t++) {
        refinement.prefix[t] = prefixes[t];
        refinement.counts[t] = &mine.counts[t * cpu::kHistogramBins];
      }
      for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
        kernels_.refine(stretch.left_at(at), stretch.right_at(at), n, kl, is_signed_, refinement);
      });
      mine.counted += end - begin;
      if (mine.counted > kFlushAfter) flush(mine, prefixes.size(), 1);
    });
    for (Scratch::Worker& worker : scratch_.workers)
      if (worker.counted) flush(worker, prefixes.size(), 1);
  }

  // ---- the gate ----------------------------------------------------------------------------------

  double threshold(const Quartiles& q) const { return q.median + options_.lambda * (q.q3 - q.q1); }

  // Under tensor scope the quartiles so far are of differences; a score is the divergence times that.
  double score_factor() const { return tensor_scope_ ? double(kl_[0]) : 1; }

  void report(TensorStats& stats, const Quartiles& q) const {
    stats.q1 = score_factor() * q.q1;
    stats.median = score_factor() * q.median;
    stats.q3 = score_factor() * q.q3;
    stats.threshold = score_factor() * threshold(q);
    // Of the exact product, which may be too small for a float64.
    stats.degenerate = (threshold(q) == 0 || score_factor() == 0) && changed_ > 0;
    std::vector<Real> sorted = kl_;
    const auto middle = sorted.begin() + (sorted.size() - 1) / 2;
    std::nth_element(sorted.begin(), middle, sorted.end());
    stats.kl_median = *middle;
    stats.kl_min = *std::min_element(sorted.begin(), middle + 1);
    stats.kl_max = *std::max_element(middle, sorted.end());
  }

  uint64_t write_fused(const Quartiles& quartiles) {
    const bool soft = options_.gate == Gate::kSoft;
    const bool changed_only = options_.population == Population::kChanged;
    const cpu::ScoreOptions<Real> score{is_signed_, changed_only};
    const double bound = threshold(quartiles);
    const Real least = least_passing<Real>(bound, options_.gate == Gate::kGreater);
    std::atomic<uint64_t> kept{0};
    for_output_pieces([&](size_t worker, uint64_t begin, uint64_t end, std::byte* out) {
      uint64_t mine = 0;
      if (soft)
        mine = write_soft(worker, begin, end, score, bound * score_factor(), out);
      else if (output_dtype_ == pair_.dtype)
        mine = write_hard(worker, begin, end, score, least, out);
      else {
        std::vector<std::byte>& chosen = scratch_.workers[worker].elements;
        chosen.resize((end - begin) * size_);
        mine = write_hard(worker, begin, end, score, least, chosen.data());
        convert_elements(pair_.dtype, chosen.data(), output_dtype_, out, end - begin);
      }
      kept += mine;
    });
    return kept;
  }

  uint64_t write_hard(size_t worker, uint64_t begin, uint64_t end, cpu::ScoreOptions<Real> score, Real least,
                      std::byte* out) {
    const Stretch stretch = fetch(worker, begin, end);
    uint64_t taken = 0;
    for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
      taken += kernels_.hard_gate(stretch.left_at(at), stretch.right_at(at), n, kl, score, least,
                                  reinterpret_cast<unsigned char*>(out) + (at - begin) * size_);
    });
    return taken;
  }

  uint64_t write_soft(size_t worker, uint64_t begin, uint64_t end, cpu::ScoreOptions<Real> score,
                      double bound, std::byte* out) {
    const Stretch stretch = fetch(worker, begin, end);
    std::vector<std::byte>& buffer = scratch_.workers[worker].elements;
    buffer.resize((end - begin) * sizeof(double));
    double* values = reinterpret_cast<double*>(buffer.data());
    uint64_t taken = 0;
    for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
      const Real factor = tensor_scope_ ? kl_[0] : kl;
      taken += kernels_.soft_gate(stretch.left_at(at), stretch.right_at(at), n, factor, score, bound,
                                  values + (at - begin));
    });
    round_to_dtype(values, output_dtype_, out, end - begin);
    return taken;
  }

  /// write(worker, begin, end, out) for each stretch of elements that fills one output piece.
  template <class Write>
  void for_output_pieces(const Write& write) {
    const uint64_t size = dtype_bits(output_dtype_) / 8, bytes = n_ * size, phase = sink_.phase();
    pool_.for_each((phase + bytes + kOutputPiece - 1) / kOutputPiece, [&](size_t worker, size_t i) {
      const uint64_t begin = i == 0 ? 0 : i * kOutputPiece - phase;
      const uint64_t end = std::min(bytes, (i + 1) * kOutputPiece - phase);
      std::byte* out = sink_.open(begin, end);
      write(worker, begin / size, end / size, out);
      sink_.close(begin, end);
    });
  }

  // ---- NaN and infinity --------------------------------------------------------------------------

  void keep_finite_side(TensorStats& stats) {
    if (options_.non_finite == NonFinite::kError) throw_non_finite();
    const bool keep_right = options_.non_finite == NonFinite::kRight;
    stats.non_finite = options_.non_finite;
    stats.kept = keep_right ? n_ : 0;
    for_output_pieces([&](size_t worker, uint64_t begin, uint64_t end, std::byte* out) {
      const PairBytes bytes = source_.fetch(worker, begin * size_, end * size_);
      convert_elements(pair_.dtype, keep_right ? bytes.right : bytes.left, output_dtype_, out, end - begin);
    });
  }

  [[noreturn]] void throw_non_finite() {
    for (uint64_t begin = 0; begin < n_; begin += kBlock) {
      const uint64_t end = std::min(n_, begin + kBlock);
      const PairBytes bytes = source_.fetch(0, begin * size_, end * size_);
      for (uint64_t at = 0; at < (end - begin) * size_; at += size_)
        for (const std::byte* side : {bytes.left, bytes.right})
          if (is_non_finite(pair_.dtype, side + at))
            throw_non_finite_at(begin + at / size_, side == bytes.left, side + at);
    }
    throw Error("ERR_FILE_CHANGED", "Tensor '" + pair_.name + "' was changed while it was read. Run again.");
  }

  [[noreturn]] void throw_non_finite_at(uint64_t index, bool in_left, const std::byte* element) const {
    throw Error("ERR_NON_FINITE",
                "Tensor '" + pair_.name + "' of " + (in_left ? "Left" : "Right") + " holds " +
                    value_text(pair_.dtype, element) + " at element " + std::to_string(index) +
                    ". Repair the checkpoint, or keep one side's tensor whole with nonFinite 'left' or "
                    "'right' (--non-finite).");
  }

  [[noreturn]] void throw_overflow() const {
    throw Error("ERR_NON_FINITE",
                "Tensor '" + pair_.name +
                    "': its values differ by more than float64 can hold, so its scores are infinite. "
                    "Repair the checkpoint.");
  }

  using Key = typename arithmetic::Constants<Real>::Bits;
  static constexpr size_t kZeroBin = 0x8000;

  const FusionOptions& options_;
  WorkerPool& pool_;
  Scratch& scratch_;
  const cpu::Kernels<Real>& kernels_;
  const RowDivergence<Real> divergence_;
  const TensorPair& pair_;
  const DType output_dtype_;
  TensorSource& source_;
  TensorSink& sink_;
  const uint64_t size_, n_;
  const bool tensor_scope_;
  const uint64_t row_length_;
  const bool is_signed_;
  const bool brackets_;  // quartiles by sampled brackets; other scores have too many ties, or too few rows
  bool first_ = true;    // the first pass over the tensor

  std::vector<Real> samples_;
  std::vector<Real> kl_;  // one a row; one in all under tensor scope, and for rows of one element
  std::atomic<bool> non_finite_{false}, bits_differ_{false};
  std::atomic<uint64_t> changed_{0};
  std::atomic<double> max_score_{0};
  uint64_t below_zero_ = 0;
};

namespace {

/// Integers and booleans have no scores: both sides must agree.
void copy_equal_integers(const TensorPair& pair, WorkerPool& pool, TensorSource& source, TensorSink& sink) {
  const uint64_t size = dtype_bits(pair.dtype) / 8, bytes = pair.elements * size;
  const uint64_t block = kBlock * size;
  std::atomic<uint64_t> first_difference{bytes};
  pool.for_each((bytes + block - 1) / block, [&](size_t worker, size_t i) {
    const uint64_t begin = i * block, end = std::min(bytes, begin + block);
    const PairBytes pieces = source.fetch_first(worker, begin, end);
    const uint64_t at =
        begin +
        uint64_t(std::mismatch(pieces.left, pieces.left + (end - begin), pieces.right).first - pieces.left);
    for (uint64_t seen = first_difference; at < end && at < seen;)
      if (first_difference.compare_exchange_weak(seen, at)) break;
  });
  if (first_difference < bytes)
    throw Error("ERR_INTEGER_MISMATCH",
                "Tensor '" + pair.name + "' is " + std::string(dtype_name(pair.dtype)) +
                    " and differs between Left and Right at element " +
                    std::to_string(first_difference / size) +
                    ". Integer and bool tensors have no scores to fuse by; they must be equal.");
  const uint64_t phase = sink.phase();
  pool.for_each((phase + bytes + kOutputPiece - 1) / kOutputPiece, [&](size_t worker, size_t i) {
    const uint64_t begin = i == 0 ? 0 : i * kOutputPiece - phase;
    const uint64_t end = std::min(bytes, (i + 1) * kOutputPiece - phase);
    std::memcpy(sink.open(begin, end), source.fetch(worker, begin, end).left, end - begin);
    sink.close(begin, end);
  });
}

}  // namespace

TensorFuser::TensorFuser(const FusionOptions& options, const cpu::InstructionSet& instruction_set,
                         WorkerPool& pool)
    : options_(options),
      instruction_set_(instruction_set),
      pool_(pool),
      scratch_(std::make_unique<Scratch>()) {
  scratch_->workers.resize(pool.workers());
}

TensorFuser::~TensorFuser() = default;

TensorStats TensorFuser::fuse(const TensorPair& pair, DType output_dtype, TensorSource& source,
                              TensorSink& sink) {
  TensorStats stats;
  if (pair.elements == 0) {
    stats.identical = true;
    return stats;
  }
  if (!dtype_is_float(pair.dtype)) {
    copy_equal_integers(pair, pool_, source, sink);
    stats.identical = true;
    return stats;
  }
  const size_t storage = size_t(storage_of(pair.dtype));
  bool first = true;
  // The soft gate adds the score into the weights: float32 would show in the last place.
  if (pair.dtype != DType::F64 && options_.gate != Gate::kSoft) {
    Fusion<float> single(*this, instruction_set_.singles[storage], pair, output_dtype, source, sink);
    if (single.run(stats, true)) return stats;
    stats = {};
    first = false;
  }
  Fusion<double>(*this, instruction_set_.doubles[storage], pair, output_dtype, source, sink)
      .run(stats, first);
  return stats;
}

}  // namespace branchmerge
