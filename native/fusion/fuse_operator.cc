#include "fusion/fuse_operator.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "fusion/order_statistics.h"
#include "fusion/quartiles.h"
#include "fusion/row_divergence.h"
#include "fusion/threshold.h"
#include "tensor/convert.h"
#include "tensor/finite.h"

namespace branchmerge {
namespace {

using Operands = std::vector<TensorReader*>;

/// Elements that one task looks at: a pair of bf16 blocks is half of a MiB and stays in a core's L2 cache. A
/// multiple of kSegment, so that a task's segments are the row's.
constexpr uint64_t kBlock = 1 << 17;

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
  widen_elements(dtype, element, &value, 1);
  return !std::isfinite(value);
}

/// Brackets around the quartiles come from one score in 128, at least so many and at most 2^20; below
/// kSmallTensor all scores are looked at.
constexpr uint64_t kSampleOneIn = 128, kMinSamples = 1 << 13, kMaxSamples = 1 << 20;
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

}  // namespace

// Buffers that outlive a tensor.
struct FusionScratch::Contents {
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

FusionScratch::FusionScratch() : contents_(std::make_unique<Contents>()) {}
FusionScratch::~FusionScratch() = default;

template <class Real>
class FuseOperator::Fusion {
 public:
  Fusion(const FuseOperator& fuse, const cpu::Kernels<Real>& kernels)
      : options_(fuse.options_),
        scratch_(fuse.scratch_.contents()),
        kernels_(kernels),
        divergence_(options_.epsilon),
        info_(fuse.info_),
        output_dtype_(fuse.output_dtype_),
        size_(dtype_bits(info_.dtype) / 8),
        shape_(info_, options_),
        n_(shape_.elements),
        tensor_scope_(shape_.tensor_scope),
        row_length_(shape_.row_length),
        is_signed_(options_.score == Score::kSigned),
        brackets_(!tensor_scope_ && !is_signed_ && row_length_ > 1 && row_length_ <= kLongRow) {}

  /// False when the scores do not fit float32's range: float64 must do it.
  bool prepare(const Operands& operands, WorkerPool& pool, TensorStats& stats) {
    operands_ = &operands;
    pool_ = &pool;
    scratch_.workers.resize(pool.workers());
    row_length_ > kLongRow ? analyse_long_rows() : analyse_blocks();
    if (non_finite_) return keep_finite_side(stats), true;
    // Either is right (docs/fusion.md); the gate's rule says which is counted.
    stats.identical = !bits_differ_;
    if (sizeof(Real) == sizeof(float) && exceeds_single(max_score_, shape_, changed_)) return false;
    if (!std::isfinite(max_score_)) throw_overflow(info_);

    const std::optional<Quartiles> quartiles = find_quartiles();
    if (!quartiles) return false;
    report(stats, *quartiles, options_, score_factor(), changed_, kl_);
    bound_ = threshold_of(*quartiles, options_);
    least_ = least_passing<Real>(bound_, options_.gate);
    return true;
  }

  /// Returns how many elements are Right's.
  uint64_t apply(size_t worker, uint64_t begin, uint64_t end, const Operands& operands, std::byte* out) {
    const Stretch stretch = fetch(operands, worker, begin, end);
    if (kept_operand_) {
      const Bytes kept = *kept_operand_ == 1 ? stretch.right : stretch.left;
      narrow(reinterpret_cast<const std::byte*>(kept), begin, end, out);
      return *kept_operand_ == 1 ? end - begin : 0;
    }
    if (options_.gate == Gate::kSoft) return write_soft(worker, stretch, end, out);
    if (output_dtype_ == info_.dtype) return write_hard(stretch, end, out);
    std::vector<std::byte>& chosen = scratch_.workers[worker].elements;
    chosen.resize((end - begin) * size_);
    const uint64_t taken = write_hard(stretch, end, chosen.data());
    narrow(chosen.data(), begin, end, out);
    return taken;
  }

 private:
  using Scratch = FusionScratch::Contents;
  using Bytes = const unsigned char*;

  /// Elements [begin, end) of both sides.
  struct Stretch {
    Bytes left, right;
    uint64_t begin, size;
    Bytes left_at(uint64_t element) const { return left + (element - begin) * size; }
    Bytes right_at(uint64_t element) const { return right + (element - begin) * size; }
  };
  Stretch fetch(const Operands& operands, size_t worker, uint64_t begin, uint64_t end) const {
    return {raw(operands[0]->fetch(worker, begin * size_, end * size_)),
            raw(operands[1]->fetch(worker, begin * size_, end * size_)), begin, size_};
  }
  Stretch fetch(size_t worker, uint64_t begin, uint64_t end) const {
    return fetch(*operands_, worker, begin, end);
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
    pool_->for_each((rows + rows_per_block - 1) / rows_per_block, [&](size_t worker, size_t i) {
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
    mine.sums.resize(kSlightSums * segments);
    Extent<Real> extent = kernels_.slight_sums(p(stretch, at), q(stretch, at), row_length_, mine.sums.data());
    note_extent(extent);
    if (extent.non_finite) return;
    const std::array<double, kSlightSums> totals = fold<kSlightSums>(mine.sums);
    const auto slight = divergence_.slight(extent, row_length_, totals.data());
    const Real kl = slight.serves ? slight.kl : general_divergence(mine, stretch, at);
    kl_[row] = kl;
    if (tensor_scope_) return;
    note_score(double(kl) * double(extent.max_difference));
    sample_row(mine, stretch, at, kl);
  }

  Real general_divergence(Scratch::Worker& mine, const Stretch& stretch, uint64_t at) const {
    const Extent<Real> extent = kernels_.extent(stretch.left_at(at), stretch.right_at(at), row_length_);
    return divergence_of(extent, [&](Pass pass, const RowConstants<Real>& constants) {
      const size_t width = has_two_sums(pass) ? 2 : 1;
      mine.sums.resize(width * segments_of(row_length_));
      kernels_.passes[size_t(pass)](p(stretch, at), q(stretch, at), row_length_, constants, mine.sums.data());
      return totals_of(pass, mine.sums);
    });
  }

  template <size_t kWidth>
  static std::array<double, kWidth> fold(const std::vector<double>& sums) {
    std::array<double, kWidth> totals{};
    for (size_t i = 0; i < sums.size(); i++) totals[i % kWidth] += sums[i];
    return totals;
  }
  static PassTotals totals_of(Pass pass, const std::vector<double>& sums) {
    if (!has_two_sums(pass)) return {fold<1>(sums)[0], 0};
    const auto [first, second] = fold<2>(sums);
    return {first, second};
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
    std::vector<Extent<Real>> extents(chunks);
    std::vector<double> sums;
    for (uint64_t row = 0; row < rows; row++) {
      const uint64_t at = row * row_length_;
      const auto for_chunks = [&](const auto& visit) {
        pool_->for_each(chunks, [&](size_t worker, size_t chunk) {
          const uint64_t begin = at + chunk * kBlock, end = std::min(at + row_length_, begin + kBlock);
          visit(chunk, fetch(worker, begin, end), end - begin);
        });
      };
      for_chunks([&](size_t chunk, const Stretch& stretch, uint64_t n) {
        extents[chunk] = kernels_.extent(stretch.left, stretch.right, n);
        note_extent(extents[chunk]);
      });
      if (non_finite_) continue;
      const Extent<Real> extent = combine(extents);
      kl_[row] = divergence_of(extent, [&](Pass pass, const RowConstants<Real>& constants) {
        const size_t width = has_two_sums(pass) ? 2 : 1;
        sums.resize(width * segments_of(row_length_));
        for_chunks([&](size_t chunk, const Stretch& stretch, uint64_t n) {
          kernels_.passes[size_t(pass)](p(stretch, stretch.begin), q(stretch, stretch.begin), n, constants,
                                        &sums[width * (chunk * kBlock / kSegment)]);
        });
        return totals_of(pass, sums);
      });
      if (!tensor_scope_) note_score(double(kl_[row]) * double(extent.max_difference));
    }
  }

  template <class Run>
  Real divergence_of(const Extent<Real>& extent, const Run& run) const {
    const bool swap = right_is_p();
    return divergence_(swap ? extent.max_right : extent.max_left, swap ? extent.max_left : extent.max_right,
                       extent, run);
  }

  static Extent<Real> combine(const std::vector<Extent<Real>>& parts) {
    Extent<Real> whole = parts[0];
    for (const Extent<Real>& part : parts) {
      whole.max_left = std::max(whole.max_left, part.max_left);
      whole.max_right = std::max(whole.max_right, part.max_right);
      whole.max_magnitude = std::max(whole.max_magnitude, part.max_magnitude);
      whole.max_difference = std::max(whole.max_difference, part.max_difference);
    }
    return whole;
  }

  void note_extent(const Extent<Real>& extent) {
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

  // ---- counting scores ---------------------------------------------------------------------------

  void begin_counting(size_t tables, size_t table_size) {
    scratch_.totals.assign(tables, std::vector<uint64_t>(cpu::kHistogramBins));
    for (Scratch::Worker& worker : scratch_.workers) {
      worker.counts.assign(tables * table_size, 0);
      worker.counted = worker.zeros = worker.below_zero = 0;
    }
  }

  // The factor of every score of the tensor where there is one: no need to go row by row.
  bool one_factor() const { return shape_.one_factor(); }
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
    pool_->for_each((n_ + kBlock - 1) / kBlock, [&](size_t worker, size_t i) {
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

  using Target = QuartileRanks::Target;

  /// Nothing when float32 does not hold them.
  std::optional<Quartiles> find_quartiles() {
    const uint64_t population = options_.population == Population::kChanged ? changed_.load() : n_;
    if (population == 0 || max_score_ == 0) return Quartiles{};
    if (!brackets_) count_scores();

    QuartileRanks ranks(options_, n_, changed_, below_zero_);
    if (!brackets_ || !select_by_brackets(ranks.targets())) {
      if (brackets_) count_scores();
      select_by_counting(ranks);
    }
    return ranks.quartiles(sizeof(Real) == sizeof(float) && !tensor_scope_);
  }

  /// One pass that counts what lies below a bracket and keeps what lies in it. False when a bracket missed.
  bool select_by_brackets(std::array<Target, 3>& targets) {
    std::vector<Target*> open;
    for (Target& target : targets)
      if (!target.is_zero[0] || !target.is_zero[1]) open.push_back(&target);
    if (open.empty()) return true;

    cpu::Brackets<Real> brackets{};
    brackets.count = int(open.size());
    // Room for thrice what is expected, of which no worker meets much more than its part.
    const double share = 3 * std::min(1.0, 2.0 / double(pool_->workers()));
    double widest = 1;
    for (size_t j = 0; j < open.size(); j++) widest = std::min(widest, place_bracket(*open[j], brackets, j));
    brackets.capacity = samples_.empty() ? n_ : size_t(share * double(n_) * (1 - widest)) + kSmallTensor;

    std::vector<cpu::Brackets<Real>> found(pool_->workers(), brackets);
    for (size_t w = 0; w < found.size(); w++) give_room(scratch_.workers[w], found[w]);
    for_element_blocks([&](size_t worker, const Stretch& stretch, uint64_t begin, uint64_t end) {
      for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
        kernels_.bracket(stretch.left_at(at), stretch.right_at(at), n, kl, found[worker]);
      });
    });
    std::atomic<bool> missed{false};
    pool_->for_each(open.size(), [&](size_t, size_t j) {
      if (!select_inside(*open[j], found, j)) missed = true;
    });
    return !missed;
  }

  /// Returns the share of the tensor outside of the bracket.
  double place_bracket(const Target& target, cpu::Brackets<Real>& brackets, size_t j) {
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
    if (low >= 0) brackets.low[j] = sampled_score(size_t(low));
    if (high < m) brackets.high[j] = sampled_score(size_t(high));
    return 1 - (std::min(high, m) - std::max(low, 0.0)) / m;
  }

  /// The score at a rank of the sample. Asked for in ascending order; a lower rank gives a score near it,
  /// which is enough for a bracket.
  Real sampled_score(size_t rank) {
    const auto from = samples_.begin() + std::ptrdiff_t(samples_ordered_),
               wanted = samples_.begin() + std::ptrdiff_t(rank);
    if (rank >= samples_ordered_) std::nth_element(from, wanted, samples_.end());
    samples_ordered_ = std::max(samples_ordered_, rank + 1);
    return *wanted;
  }

  static void give_room(Scratch::Worker& worker, cpu::Brackets<Real>& brackets) {
    if (worker.capacity < brackets.capacity) {
      for (auto& room : worker.inside)
        room = std::make_unique_for_overwrite<double[]>(brackets.capacity + cpu::kBracketSlack);
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
  void select_by_counting(QuartileRanks& ranks) {
    const std::vector<uint64_t> wanted = ranks.wanted();
    if (wanted.empty()) return;
    OrderStatistics statistics(wanted, sizeof(Key) * 8);
    statistics.narrow(scratch_.totals);
    while (!statistics.finished()) {
      count_prefixes(statistics.prefixes(), statistics.shift());
      statistics.narrow(scratch_.totals);
    }
    std::vector<double> values;
    for (const uint64_t key : statistics.keys()) values.push_back(double(arithmetic::value_of_key(Key(key))));
    ranks.set_wanted(values);
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

  // Under tensor scope the quartiles so far are of differences; a score is the divergence times that.
  double score_factor() const { return tensor_scope_ ? double(kl_[0]) : 1; }

  cpu::ScoreOptions<Real> score_options() const {
    return {is_signed_, options_.population == Population::kChanged};
  }

  uint64_t write_hard(const Stretch& stretch, uint64_t end, std::byte* out) const {
    uint64_t taken = 0;
    for_runs(stretch.begin, end, [&](uint64_t at, uint64_t n, Real kl) {
      taken += kernels_.hard_gate(stretch.left_at(at), stretch.right_at(at), n, kl, score_options(), least_,
                                  reinterpret_cast<unsigned char*>(out) + (at - stretch.begin) * size_);
    });
    return taken;
  }

  uint64_t write_soft(size_t worker, const Stretch& stretch, uint64_t end, std::byte* out) {
    std::vector<std::byte>& buffer = scratch_.workers[worker].elements;
    buffer.resize((end - stretch.begin) * sizeof(double));
    double* values = reinterpret_cast<double*>(buffer.data());
    uint64_t taken = 0;
    for_runs(stretch.begin, end, [&](uint64_t at, uint64_t n, Real kl) {
      const Real factor = tensor_scope_ ? kl_[0] : kl;
      taken += kernels_.soft_gate(stretch.left_at(at), stretch.right_at(at), n, factor, score_options(),
                                  bound_ * score_factor(), values + (at - stretch.begin));
    });
    (void)round_to_dtype(values, output_dtype_, out, end - stretch.begin);
    // A score of any size is a weight here: the value itself may be infinite.
    const size_t found = find_non_finite(output_dtype_, out, end - stretch.begin);
    if (found < end - stretch.begin)
      throw_too_large(info_, stretch.begin + found, values[found], output_dtype_);
    return taken;
  }

  /// Elements [begin, end) in the output's dtype.
  void narrow(const std::byte* chosen, uint64_t begin, uint64_t end, std::byte* out) const {
    const size_t found = convert_elements(info_.dtype, chosen, output_dtype_, out, end - begin);
    if (found == end - begin) return;
    double value;
    widen_elements(info_.dtype, chosen + found * size_, &value, 1);
    throw_too_large(info_, begin + found, value, output_dtype_);
  }

  // ---- NaN and infinity --------------------------------------------------------------------------

  void keep_finite_side(TensorStats& stats) {
    if (options_.non_finite == NonFinite::kError) throw_first_non_finite();
    kept_operand_ = options_.non_finite == NonFinite::kRight ? 1 : 0;
    stats.kept_operand = kept_operand_;
  }

  [[noreturn]] void throw_first_non_finite() const {
    for (uint64_t begin = 0; begin < n_; begin += kBlock) {
      const Stretch stretch = fetch(0, begin, std::min(n_, begin + kBlock));
      for (uint64_t i = begin; i < std::min(n_, begin + kBlock); i++)
        for (const Bytes at : {stretch.left_at(i), stretch.right_at(i)}) {
          const std::byte* element = reinterpret_cast<const std::byte*>(at);
          if (is_non_finite(info_.dtype, element))
            throw_non_finite(info_, i, at == stretch.left_at(i), element);
        }
    }
    throw Error("ERR_FILE_CHANGED", "Tensor '" + info_.name + "' was changed while it was read. Run again.");
  }

  using Key = typename arithmetic::Constants<Real>::Bits;
  static constexpr size_t kZeroBin = 0x8000;

  const FusionOptions& options_;
  Scratch& scratch_;
  const cpu::Kernels<Real>& kernels_;
  const RowDivergence<Real> divergence_;
  const OperandInfo& info_;
  const DType output_dtype_;
  const uint64_t size_;
  const RowShape shape_;
  const uint64_t n_;
  const bool tensor_scope_;
  const uint64_t row_length_;
  const bool is_signed_;
  const bool brackets_;  // quartiles by sampled brackets; other scores have too many ties, or too few rows
  const Operands* operands_ = nullptr;  // while preparing
  WorkerPool* pool_ = nullptr;

  std::vector<Real> samples_;
  size_t samples_ordered_ = 0;  // leading samples that are not above any later one
  std::vector<Real> kl_;        // one a row; one in all under tensor scope, and for rows of one element
  std::atomic<bool> non_finite_{false}, bits_differ_{false};
  std::atomic<uint64_t> changed_{0};
  std::atomic<double> max_score_{0};
  uint64_t below_zero_ = 0;

  // What the gate needs.
  double bound_ = 0;
  Real least_ = 0;
  std::optional<size_t> kept_operand_;
};

FuseOperator::FuseOperator(const OperandInfo& info, DType output_dtype, const FusionOptions& options,
                           const cpu::InstructionSet& instruction_set, FusionScratch& scratch)
    : info_(info),
      output_dtype_(output_dtype),
      options_(options),
      instruction_set_(instruction_set),
      scratch_(scratch) {}

FuseOperator::~FuseOperator() = default;

void FuseOperator::prepare(const std::vector<TensorReader*>& operands, WorkerPool& pool) {
  const size_t storage = size_t(storage_of(info_.dtype));
  // The soft gate adds the score into the weights: float32 would show in the last place.
  if (info_.dtype != DType::F64 && options_.gate != Gate::kSoft) {
    single_ = std::make_unique<Fusion<float>>(*this, instruction_set_.singles[storage]);
    if (single_->prepare(operands, pool, stats_)) return;
    single_.reset();
    stats_ = {};
  }
  double_ = std::make_unique<Fusion<double>>(*this, instruction_set_.doubles[storage]);
  double_->prepare(operands, pool, stats_);
}

uint64_t FuseOperator::apply(size_t worker, uint64_t begin, uint64_t end,
                             const std::vector<TensorReader*>& operands, std::byte* out) {
  return single_ ? single_->apply(worker, begin, end, operands, out)
                 : double_->apply(worker, begin, end, operands, out);
}

}  // namespace branchmerge
