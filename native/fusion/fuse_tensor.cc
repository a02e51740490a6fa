#include "fusion/fuse_tensor.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "error.h"
#include "fusion/order_statistics.h"
#include "fusion/row_divergence.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

/// Elements that one task looks at: a pair of bf16 blocks is 1 MiB and stays in a core's L2 cache between the passes
/// over it. A multiple of kSegment, so that a task's segments are the row's.
constexpr uint64_t kBlock = 1 << 18;

/// Rows longer than this are shared by several tasks.
constexpr uint64_t kLongRow = 1 << 20;

/// Scores whose largest lies outside are computed in float64: float32 would lose small ones to underflow (its smallest
/// normal is 2^-126) or large ones to infinity.
constexpr double kSmallestSingleScore = 0x1p-64, kLargestSingleScore = 0x1p120;

/// A worker's 32-bit counters are added to the tensor's 64-bit ones before they can overflow.
constexpr uint64_t kFlushAfter = uint64_t(1) << 30;

cpu::Storage storage_of(DType dtype) {
  switch (dtype) {
    case DType::BF16: return cpu::Storage::kBF16;
    case DType::F16: return cpu::Storage::kF16;
    case DType::F32: return cpu::Storage::kF32;
    default: return cpu::Storage::kF64;
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

/// Rank k of the population as a rank among all elements: the unchanged ones score zero, and lie between the scores
/// below zero and the rest.
uint64_t rank_among_all(uint64_t rank, uint64_t below_zero, uint64_t unchanged) {
  return rank < below_zero ? rank : rank + unchanged;
}

struct Quartiles {
  double q1 = 0, median = 0, q3 = 0;
};

}  // namespace

// A worker's own buffers.
struct TensorFuser::Scratch {
  struct Worker {
    std::vector<uint32_t> counts;  // histogram or refinement
    std::vector<double> sums;
    std::vector<std::byte> elements;
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
        row_length_(tensor_scope_ ? n_ : pair.shape.empty() ? 1 : pair.shape.back()),
        is_signed_(options_.score == Score::kSigned) {}

  /// False when the scores do not fit float32's range: nothing has been written yet, and float64 must do it.
  bool run(TensorStats& stats) {
    begin_counting(1, 2 * cpu::kHistogramBins);
    row_length_ > kLongRow ? analyse_long_rows() : analyse_blocks();
    if (non_finite_) return keep_finite_side(stats), true;
    // Either is right (docs/fusion.md); the gate's rule says which is counted.
    stats.identical = !bits_differ_;
    if (sizeof(Real) == sizeof(float) && needs_double()) return false;
    if (!std::isfinite(max_score_)) throw_overflow();

    const Quartiles quartiles = find_quartiles();
    report(stats, quartiles);
    stats.kept = write_fused(quartiles);
    return true;
  }

 private:
  using Kernel = void (*)(const unsigned char*, const unsigned char*, size_t, const cpu::RowConstants<Real>&, double*);

  const unsigned char* left(uint64_t element) const { return raw(pair_.left) + element * size_; }
  const unsigned char* right(uint64_t element) const { return raw(pair_.right) + element * size_; }
  const unsigned char* p(uint64_t e) const { return right_is_p() ? right(e) : left(e); }
  const unsigned char* q(uint64_t e) const { return right_is_p() ? left(e) : right(e); }
  bool right_is_p() const { return options_.divergence == Divergence::kRightLeft; }

  // ---- pass 1: divergences, and a histogram of the scores ----------------------------------------

  void analyse_blocks() {
    const uint64_t rows = n_ / row_length_;
    const uint64_t rows_per_block = std::max<uint64_t>(1, kBlock / row_length_);
    const uint64_t blocks = (rows + rows_per_block - 1) / rows_per_block;
    // Rows of one element have no divergence.
    kl_.assign(row_length_ == 1 ? 1 : rows, Real(0));
    pool_.for_each(std::max<size_t>(blocks, source_.pieces()), [&](size_t worker, size_t i) {
      if (i < source_.pieces()) source_.visit_piece(i);
      if (i >= blocks) return;
      const uint64_t first = i * rows_per_block, last = std::min(rows, first + rows_per_block);
      source_.wait_for(first * row_length_ * size_, last * row_length_ * size_);
      if (row_length_ == 1)
        note_extent(kernels_.extent(left(first), right(first), last - first));
      else
        analyse_rows(worker, first, last);
    });
    if (tensor_scope_ && !non_finite_) count_scores();
    merge_counts(1, 2);
  }

  void analyse_rows(size_t worker, uint64_t first, uint64_t last) {
    Scratch::Worker& mine = scratch_.workers[worker];
    for (uint64_t row = first; row < last; row++) {
      const uint64_t at = row * row_length_;
      const cpu::Extent<Real> extent = kernels_.extent(left(at), right(at), row_length_);
      note_extent(extent);
      if (extent.non_finite) continue;
      const Real kl = divergence_of(extent, [&](Kernel kernel, const cpu::RowConstants<Real>& constants, size_t width) {
        mine.sums.resize(width * segments_of(row_length_));
        kernel(p(at), q(at), row_length_, constants, mine.sums.data());
        return std::span<const double>(mine.sums);
      });
      kl_[row] = kl;
      if (tensor_scope_) continue;
      note_score(double(kl) * double(extent.max_difference));
      count_run(worker, at, row_length_, kl);
    }
  }

  void analyse_long_rows() {
    const uint64_t rows = n_ / row_length_;
    kl_.assign(rows, Real(0));
    pool_.for_each(source_.pieces(), [&](size_t, size_t i) { source_.visit_piece(i); });
    source_.wait_for(0, n_ * size_);
    const uint64_t chunks = (row_length_ + kBlock - 1) / kBlock;
    std::vector<cpu::Extent<Real>> extents(chunks);
    std::vector<double> sums;
    for (uint64_t row = 0; row < rows && !non_finite_; row++) {
      const uint64_t at = row * row_length_;
      const auto size_of = [&](uint64_t chunk) { return std::min(kBlock, row_length_ - chunk * kBlock); };
      pool_.for_each(chunks, [&](size_t, size_t chunk) {
        source_.wait_for(0, 0);  // throws when the caller has given up
        const uint64_t from = at + chunk * kBlock;
        extents[chunk] = kernels_.extent(left(from), right(from), size_of(chunk));
        note_extent(extents[chunk]);
      });
      if (non_finite_) return;
      const cpu::Extent<Real> extent = combine(extents);
      const Real kl = divergence_of(extent, [&](Kernel kernel, const cpu::RowConstants<Real>& constants, size_t width) {
        sums.resize(width * segments_of(row_length_));
        pool_.for_each(chunks, [&](size_t, size_t chunk) {
          const uint64_t from = at + chunk * kBlock;
          kernel(p(from), q(from), size_of(chunk), constants, &sums[width * (chunk * kBlock / cpu::kSegment)]);
        });
        return std::span<const double>(sums);
      });
      kl_[row] = kl;
      if (tensor_scope_) break;
      note_score(double(kl) * double(extent.max_difference));
      pool_.for_each(chunks, [&](size_t worker, size_t chunk) {
        count_run(worker, at + chunk * kBlock, size_of(chunk), kl);
      });
    }
    if (tensor_scope_ && !non_finite_) count_scores();
    merge_counts(1, 2);
  }

  template <class Run>
  Real divergence_of(const cpu::Extent<Real>& extent, const Run& run) const {
    const bool swap = right_is_p();
    return divergence_(swap ? extent.max_right : extent.max_left, swap ? extent.max_left : extent.max_right, extent, run);
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
    for (double seen = max_score_; !(seen >= score) && !max_score_.compare_exchange_weak(seen, score);) continue;
  }

  bool needs_double() const {
    const double largest = max_score_;
    // Differences alone cannot underflow unless the weights themselves do.
    const double smallest = tensor_scope_ ? 0 : kSmallestSingleScore;
    return largest >= kLargestSingleScore || (largest > 0 && largest < smallest) ||
           (largest == 0 && !tensor_scope_ && row_length_ > 1 && changed_ > 0);
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

  void count_run(size_t worker, uint64_t at, uint64_t n, Real kl) {
    Scratch::Worker& mine = scratch_.workers[worker];
    if (kl == 0) {
      mine.zeros += n;
      return;
    }
    mine.below_zero += kernels_.histogram(left(at), right(at), n, kl, is_signed_, mine.counts.data());
    mine.counted += n;
    if (mine.counted > kFlushAfter) flush(mine, 1, 2);
  }

  void count_scores() {
    for_element_blocks([&](size_t worker, uint64_t begin, uint64_t end) {
      for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) { count_run(worker, at, n, kl); });
    });
  }

  template <class Visit>
  void for_element_blocks(const Visit& visit) {
    pool_.for_each((n_ + kBlock - 1) / kBlock, [&](size_t worker, size_t i) {
      visit(worker, i * kBlock, std::min(n_, (i + 1) * kBlock));
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

  void merge_counts(size_t tables, size_t interleaved) {
    for (Scratch::Worker& worker : scratch_.workers) {
      if (worker.counted) flush(worker, tables, interleaved);
      scratch_.totals[0][kZeroBin] += worker.zeros;
      below_zero_ += worker.below_zero;
      worker.zeros = worker.below_zero = 0;
    }
  }

  // ---- quartiles ---------------------------------------------------------------------------------

  Quartiles find_quartiles() {
    const bool changed_only = options_.population == Population::kChanged;
    const uint64_t population = changed_only ? changed_.load() : n_;
    if (population == 0 || max_score_ == 0) return {};

    // Each quartile needs the element at its rank and, to interpolate, the next.
    struct Wanted {
      uint64_t rank;
      double value = 0;
    };
    std::array<Wanted, 6> wanted;
    for (uint64_t i = 0; i < 3; i++) {
      const uint64_t rank = quarter_rank(i + 1, population);
      wanted[2 * i].rank = rank;
      wanted[2 * i + 1].rank = options_.quantile == Quantile::kLinear ? std::min(rank + 1, population - 1) : rank;
    }
    const uint64_t unchanged = n_ - changed_;
    std::vector<uint64_t> ranks;
    std::vector<Wanted*> open;
    for (Wanted& w : wanted) {
      if (changed_only) w.rank = rank_among_all(w.rank, below_zero_, unchanged);
      // Unchanged elements score zero: no need to look for those.
      if (w.rank >= below_zero_ && w.rank < below_zero_ + unchanged) continue;
      ranks.push_back(w.rank);
      open.push_back(&w);
    }
    if (!ranks.empty()) {
      const std::vector<uint64_t> keys = select(std::move(ranks));
      for (size_t i = 0; i < keys.size(); i++) open[i]->value = double(arithmetic::value_of_key(Key(keys[i])));
    }
    const auto value = [&](uint64_t i) {
      const double low = wanted[2 * i].value, high = wanted[2 * i + 1].value;
      return low + (high - low) * quarter_fraction(i + 1, population);
    };
    return {value(0), value(1), value(2)};
  }

  // floor(k/4·(n − 1)) and what the floor cuts off, in integers: exact at every size.
  static uint64_t quarter_rank(uint64_t k, uint64_t n) { return (n - 1) / 4 * k + (n - 1) % 4 * k / 4; }
  double quarter_fraction(uint64_t k, uint64_t n) const {
    return options_.quantile == Quantile::kLinear ? double((n - 1) % 4 * k % 4) / 4 : 0;
  }

  std::vector<uint64_t> select(std::vector<uint64_t> ranks) {
    OrderStatistics statistics(std::move(ranks), sizeof(Key) * 8);
    statistics.narrow(scratch_.totals);
    while (!statistics.finished()) {
      const std::vector<uint64_t>& prefixes = statistics.prefixes();
      begin_counting(prefixes.size(), cpu::kHistogramBins);
      for_element_blocks([&](size_t worker, uint64_t begin, uint64_t end) {
        Scratch::Worker& mine = scratch_.workers[worker];
        cpu::Refinement refinement{int(prefixes.size()), statistics.shift(), {}, {}};
        for (size_t t = 0; t < prefixes.size(); t++) {
          refinement.prefix[t] = prefixes[t];
          refinement.counts[t] = &mine.counts[t * cpu::kHistogramBins];
        }
        for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
          kernels_.refine(left(at), right(at), n, kl, is_signed_, refinement);
        });
        mine.counted += end - begin;
        if (mine.counted > kFlushAfter) flush(mine, prefixes.size(), 1);
      });
      for (Scratch::Worker& worker : scratch_.workers)
        if (worker.counted) flush(worker, prefixes.size(), 1);
      statistics.narrow(scratch_.totals);
    }
    return statistics.keys();
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
    stats.degenerate = threshold(q) == 0 && changed_ > 0;
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
        mine = write_hard(begin, end, score, least, out);
      else {
        std::vector<std::byte>& chosen = scratch_.workers[worker].elements;
        chosen.resize((end - begin) * size_);
        mine = write_hard(begin, end, score, least, chosen.data());
        convert_elements(pair_.dtype, chosen.data(), output_dtype_, out, end - begin);
      }
      kept += mine;
    });
    return kept;
  }

  uint64_t write_hard(uint64_t begin, uint64_t end, cpu::ScoreOptions<Real> score, Real least, std::byte* out) const {
    uint64_t taken = 0;
    for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
      taken += kernels_.hard_gate(left(at), right(at), n, kl, score, least,
                                  reinterpret_cast<unsigned char*>(out) + (at - begin) * size_);
    });
    return taken;
  }

  uint64_t write_soft(size_t worker, uint64_t begin, uint64_t end, cpu::ScoreOptions<Real> score, double bound,
                      std::byte* out) const {
    std::vector<std::byte>& buffer = scratch_.workers[worker].elements;
    buffer.resize((end - begin) * sizeof(double));
    double* values = reinterpret_cast<double*>(buffer.data());
    uint64_t taken = 0;
    for_runs(begin, end, [&](uint64_t at, uint64_t n, Real kl) {
      const Real factor = tensor_scope_ ? kl_[0] : kl;
      taken += kernels_.soft_gate(left(at), right(at), n, factor, score, bound, values + (at - begin));
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
    source_.wait_for(0, n_ * size_);
    if (options_.non_finite == NonFinite::kError) throw_non_finite();
    const bool keep_right = options_.non_finite == NonFinite::kRight;
    stats.non_finite = options_.non_finite;
    stats.kept = keep_right ? n_ : 0;
    const std::byte* kept = keep_right ? pair_.right : pair_.left;
    for_output_pieces([&](size_t, uint64_t begin, uint64_t end, std::byte* out) {
      convert_elements(pair_.dtype, kept + begin * size_, output_dtype_, out, end - begin);
    });
  }

  [[noreturn]] void throw_non_finite() const {
    uint64_t i = 0;
    while (!is_non_finite(pair_.dtype, pair_.left + i * size_) && !is_non_finite(pair_.dtype, pair_.right + i * size_)) i++;
    const bool in_left = is_non_finite(pair_.dtype, pair_.left + i * size_);
    const std::byte* element = (in_left ? pair_.left : pair_.right) + i * size_;
    throw Error("ERR_NON_FINITE", "Tensor '" + pair_.name + "' of " + (in_left ? "Left" : "Right") + " holds " +
                                      value_text(pair_.dtype, element) + " at element " + std::to_string(i) +
                                      ". Repair the checkpoint, or keep one side's tensor whole with nonFinite 'left' or "
                                      "'right' (--non-finite).");
  }

  [[noreturn]] void throw_overflow() const {
    throw Error("ERR_NON_FINITE", "Tensor '" + pair_.name +
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
  pool.for_each(source.pieces(), [&](size_t, size_t i) { source.visit_piece(i); });
  source.wait_for(0, bytes);
  const auto difference = std::mismatch(pair.left, pair.left + bytes, pair.right).first - pair.left;
  if (uint64_t(difference) != bytes)
    throw Error("ERR_INTEGER_MISMATCH", "Tensor '" + pair.name + "' is " + std::string(dtype_name(pair.dtype)) +
                                            " and differs between Left and Right at element " +
                                            std::to_string(uint64_t(difference) / size) +
                                            ". Integer and bool tensors have no scores to fuse by; they must be equal.");
  const uint64_t phase = sink.phase();
  pool.for_each((phase + bytes + kOutputPiece - 1) / kOutputPiece, [&](size_t, size_t i) {
    const uint64_t begin = i == 0 ? 0 : i * kOutputPiece - phase;
    const uint64_t end = std::min(bytes, (i + 1) * kOutputPiece - phase);
    std::memcpy(sink.open(begin, end), pair.left + begin, end - begin);
    sink.close(begin, end);
  });
}

}  // namespace

TensorFuser::TensorFuser(const FusionOptions& options, const cpu::InstructionSet& instruction_set, WorkerPool& pool)
    : options_(options), instruction_set_(instruction_set), pool_(pool), scratch_(std::make_unique<Scratch>()) {
  scratch_->workers.resize(pool.workers());
}

TensorFuser::~TensorFuser() = default;

TensorStats TensorFuser::fuse(const TensorPair& pair, DType output_dtype, TensorSource& source, TensorSink& sink) {
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
  // The soft gate adds the score into the weights: float32 would show in the last place.
  if (pair.dtype != DType::F64 && options_.gate != Gate::kSoft) {
    Fusion<float> single(*this, instruction_set_.singles[storage], pair, output_dtype, source, sink);
    if (single.run(stats)) return stats;
    stats = {};
  }
  Fusion<double>(*this, instruction_set_.doubles[storage], pair, output_dtype, source, sink).run(stats);
  return stats;
}

}  // namespace branchmerge
