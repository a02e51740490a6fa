#include "fusion/cuda/device_fusion.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "base/error.h"
#include "cuda/runtime.h"
#include "fusion/arithmetic.h"
#include "fusion/cuda/kernels.h"
#include "fusion/cuda/sampled_rows.h"
#include "fusion/order_statistics.h"
#include "fusion/quartiles.h"
#include "fusion/row_divergence.h"
#include "fusion/threshold.h"

namespace branchmerge::cuda {
namespace {

/// Fixed parts of the scratch.
template <class Real>
struct Counters {
  Summary summary;
  RowExtent row;
  BracketState<Real> brackets;
  Selection<Real> selection;
  unsigned long long first_non_finite;
  Real factors[2];  // one divergence for all scores: for counting and for the gate
};
constexpr size_t kDigitCounts = size_t(kMaxPrefixes) * kMaxDigitBins;
constexpr size_t kSampleCounts = size_t(kSampleGroups) * kSampleBins;

/// Warps that a device has at a time, and then some.
constexpr unsigned kMaxRuns = 1 << 14;

constexpr size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Where the parts lie in the scratch, in bytes from its start.
template <class Real>
struct Layout {
  size_t counters, digits, sample, sizes, cleared;  // those before `cleared` are zero to begin with
  size_t kl, sums, left_over, scores, end;

  Layout(const RowShape& shape, uint64_t slice, bool brackets) {
    size_t at = 0;
    const auto take = [&](size_t bytes) {
      const size_t here = at;
      at += aligned(bytes);
      return here;
    };
    counters = take(sizeof(Counters<Real>));
    digits = take(sizeof(unsigned long long) * kDigitCounts);
    sample = take(brackets ? sizeof(unsigned) * kSampleCounts : 0);
    sizes = take(brackets ? sizeof(unsigned) * kMaxRuns : 0);
    cleared = at;
    kl = take(sizeof(Real) * (shape.row_length == 1 ? 1 : shape.rows()));
    sums = take(rows_are_whole(shape, slice)
                    ? 0
                    : sizeof(double) * kSlightSums * segments_of(std::min(shape.row_length, slice)));
    left_over = take(brackets ? sizeof(unsigned) * (shape.rows() + 1) : 0);
    scores = take(brackets ? collected_bytes(shape) : 0);
    end = at;
  }

  /// Whether blocks take whole rows; otherwise a row is looked at in several launches.
  static bool rows_are_whole(const RowShape& shape, uint64_t slice) {
    return shape.row_length <= kLongRow && shape.row_length <= slice;
  }
};

/// Scores that a float64 tensor is sampled by may lie outside of float32; its brackets then miss, and it is
/// counted.
bool may_use_brackets(const RowShape& shape, const FusionOptions& options, uint64_t slice) {
  return options.score == Score::kAbsolute && !shape.one_factor() && slice >= shape.elements &&
         shape.row_length <= kLongRow && sampling_pays(shape);
}

template <class Real>
DeviceKernels<Real> kernels_for(DType dtype);
template <>
DeviceKernels<float> kernels_for<float>(DType dtype) {
  return dtype == DType::BF16  ? bf16_kernels_in_float32()
         : dtype == DType::F16 ? f16_kernels_in_float32()
                               : f32_kernels_in_float32();
}
template <>
DeviceKernels<double> kernels_for<double>(DType dtype) {
  return dtype == DType::BF16  ? bf16_kernels_in_float64()
         : dtype == DType::F16 ? f16_kernels_in_float64()
         : dtype == DType::F32 ? f32_kernels_in_float64()
                               : f64_kernels_in_float64();
}

}  // namespace

struct DeviceFusionScratch::Contents {
  DeviceMemory memory;
  PinnedMemory results;  // that the host waits for

  void reserve(size_t device_bytes, size_t result_bytes) {
    grow(memory, device_bytes);
    grow(results, result_bytes);
  }

 private:
  template <class Memory>
  static void grow(Memory& memory, size_t bytes) {
    if (memory.size() >= bytes) return;
    memory = Memory();  // before the larger one is asked for
    memory = Memory(bytes);
  }
};
DeviceFusionScratch::DeviceFusionScratch() : contents_(std::make_unique<Contents>()) {}
DeviceFusionScratch::~DeviceFusionScratch() = default;

class DeviceFusion::Implementation {
 public:
  Implementation(const OperandInfo& info, DType output_dtype, const FusionOptions& options, uint64_t slice,
                 DeviceFusionScratch& scratch, cudaStream_t stream)
      : info_(info),
        output_dtype_(output_dtype),
        options_(options),
        slice_(slice),
        scratch_(scratch.contents()),
        stream_(stream) {}

  void prepare(DeviceReader& left, DeviceReader& right);
  void apply(uint64_t begin, uint64_t end, const std::byte* left, const std::byte* right, std::byte* out,
             unsigned long long* taken);
  const TensorStats& stats() const { return stats_; }

 private:
  template <class Real>
  class Fusion;

  const OperandInfo info_;
  const DType output_dtype_;
  const FusionOptions options_;
  const uint64_t slice_;
  DeviceFusionScratch::Contents& scratch_;
  cudaStream_t stream_;
  TensorStats stats_;
  std::unique_ptr<Fusion<float>> single_;
  std::unique_ptr<Fusion<double>> double_;
};

// What FuseOperator::Fusion is for the CPU, in the same order of decisions.
template <class Real>
class DeviceFusion::Implementation::Fusion {
 public:
  explicit Fusion(const Implementation& fuse)
      : options_(fuse.options_),
        info_(fuse.info_),
        output_dtype_(fuse.output_dtype_),
        shape_(info_, options_),
        slice_(fuse.slice_),
        size_(dtype_bits(info_.dtype) / 8),
        stream_(fuse.stream_),
        kernels_(kernels_for<Real>(info_.dtype)),
        uses_brackets_(may_use_brackets(shape_, options_, slice_)),
        layout_(shape_, slice_, uses_brackets_) {
    kl_.assign(shape_.row_length == 1 ? 1 : shape_.rows(), Real(0));
    fuse.scratch_.reserve(layout_.end, aligned(sizeof(Counters<Real>)) + kl_.size() * sizeof(Real));
    memory_ = fuse.scratch_.memory.data();
    results_ = fuse.scratch_.results.data();
  }

  /// False when the scores do not fit float32's range: float64 must do it.
  bool prepare(DeviceReader& left, DeviceReader& right, TensorStats& stats) {
    left_ = &left;
    right_ = &right;
    clear(memory_, layout_.cleared);
    analyse();
    if (summary_.non_finite) return keep_finite_side(stats), true;
    stats.identical = !summary_.bits_differ;
    const double largest = arithmetic::bit_cast<double>(uint64_t(summary_.largest_score));
    if (sizeof(Real) == sizeof(float) && exceeds_single(largest, shape_, summary_.changed)) return false;
    if (!std::isfinite(largest)) throw_overflow(info_);

    const std::optional<Quartiles> quartiles = find_quartiles(largest);
    if (!quartiles) return false;
    const double factor = shape_.tensor_scope ? double(kl_[0]) : 1;
    report(stats, *quartiles, options_, factor, summary_.changed, kl_);
    const double bound = threshold_of(*quartiles, options_);
    least_ = least_passing<Real>(bound, options_.gate);
    soft_threshold_ = bound * factor;
    set_gate_factor();
    return true;
  }

  void apply(uint64_t begin, uint64_t end, const std::byte* left, const std::byte* right, std::byte* out,
             unsigned long long* taken) const {
    if (kept_operand_) return keep(end - begin, *kept_operand_ == 1 ? right : left, out, taken);
    GateTask<Real> gate;
    gate.changed_only = options_.population == Population::kChanged;
    gate.least = least_;
    gate.threshold = soft_threshold_;
    gate.output_dtype = output_dtype_;
    gate.taken = taken;
    const size_t out_size = dtype_bits(output_dtype_) / 8;
    for_runs(begin, end, gate_factor(), [&](uint64_t at, const ScoresTask<Real>& run) {
      gate.scores = run;
      gate.scores.left = left + (at - begin) * size_;
      gate.scores.right = right + (at - begin) * size_;
      gate.out = out + (at - begin) * out_size;
      options_.gate == Gate::kSoft ? kernels_.soft_gate(gate, stream_) : kernels_.hard_gate(gate, stream_);
    });
  }

 private:
  using Key = typename arithmetic::Constants<Real>::Bits;
  static constexpr int kKeyBits = sizeof(Key) * 8;

  // ---- the scratch -------------------------------------------------------------------------------

  template <class T>
  T* part(size_t at) const {
    return reinterpret_cast<T*>(memory_ + at);
  }
  Counters<Real>* counters() const { return part<Counters<Real>>(layout_.counters); }
  Real* kl() const { return part<Real>(layout_.kl); }
  const Real* count_factor() const { return &counters()->factors[0]; }
  const Real* gate_factor() const { return &counters()->factors[1]; }

  void clear(void* memory, size_t bytes) const {
    check(cudaMemsetAsync(memory, 0, bytes, stream_), "clear memory");
  }
  /// Waits for the stream.
  template <class T>
  void read(T* to, const T* from, size_t n) const {
    check(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDeviceToHost, stream_), "copy from the device");
    check(cudaStreamSynchronize(stream_), "finish its work");
  }
  template <class T>
  void write(T* to, const T* from, size_t n) const {
    check(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyHostToDevice, stream_), "copy to the device");
    check(cudaStreamSynchronize(stream_), "finish its work");
  }

  // ---- slices ------------------------------------------------------------------------------------

  struct Stretch {
    const std::byte *left, *right;
  };
  Stretch fetch(uint64_t begin, uint64_t end) const {
    const Stretch stretch{left_->fetch(begin, end), right_->fetch(begin, end)};
    for (const std::byte* side : {stretch.left, stretch.right})
      if (reinterpret_cast<uintptr_t>(side) % size_ != 0)
        throw Error("ERR_INTERNAL", "Expected the elements of tensor '" + info_.name +
                                        "' at multiples of their size on the device.");
    return stretch;
  }

  /// visit(begin, end, stretch) for slices that begin at multiples of `unit` elements from `first`.
  template <class Visit>
  void for_slices(uint64_t first, uint64_t last, uint64_t unit, const Visit& visit) const {
    const uint64_t step = slice_ >= last - first ? last - first : std::max(unit, slice_ / unit * unit);
    for (uint64_t begin = first; begin < last; begin += step) {
      const uint64_t end = std::min(last, begin + step);
      visit(begin, end, fetch(begin, end));
    }
  }

  bool right_is_p() const { return options_.divergence == Divergence::kRightLeft; }
  const std::byte* p(const Stretch& s) const { return right_is_p() ? s.right : s.left; }
  const std::byte* q(const Stretch& s) const { return right_is_p() ? s.left : s.right; }

  // ---- divergences, and the first look at the scores ---------------------------------------------

  void analyse() {
    if (shape_.row_length == 1)
      look_at_all();
    else if (Layout<Real>::rows_are_whole(shape_, slice_))
      analyse_whole_rows();
    else
      analyse_long_rows();
    if (!shape_.one_factor()) return;
    const Real factor = shape_.tensor_scope ? Real(1) : kl_[0];
    write(&counters()->factors[0], &factor, 1);
  }

  // Rows of one element have no divergence.
  void look_at_all() {
    for_slices(0, shape_.elements, kSegment, [&](uint64_t begin, uint64_t end, const Stretch& s) {
      kernels_.extent(s.left, s.right, end - begin, shape_.tensor_scope, &counters()->summary, nullptr,
                      stream_);
    });
    read(&summary_, &counters()->summary, 1);
  }

  void analyse_whole_rows() {
    RowsTask<Real> task;
    task.row_length = unsigned(shape_.row_length);
    task.epsilon = options_.epsilon;
    task.right_is_p = right_is_p();
    task.is_signed = options_.score == Score::kSigned;
    task.largest_is_difference = shape_.tensor_scope;
    task.summary = &counters()->summary;
    task.kl = kl();
    if (uses_brackets_) {
      analyse_with_brackets(task);
    } else {
      // Tensor scope counts differences, which need no divergence, when it has the others' maximum.
      if (!shape_.tensor_scope) {
        task.scoring = Scoring::kDigits;
        task.digits = begin_digits({0}, kKeyBits - kMaxDigitBits, kMaxDigitBits);
        first_digits_counted_ = true;
      }
      for_slices(0, shape_.elements, shape_.row_length, [&](uint64_t begin, uint64_t end, const Stretch& s) {
        task.left = s.left;
        task.right = s.right;
        task.rows = (end - begin) / shape_.row_length;
        task.kl = kl() + begin / shape_.row_length;
        kernels_.analyse_rows(task, stream_);
      });
    }
    read_results();
  }

  /// All of it without a word from the host, which looks at the results when they are there.
  void analyse_with_brackets(RowsTask<Real>& task) {
    const Stretch whole = fetch(0, shape_.elements);
    task.left = whole.left;
    task.right = whole.right;
    task.rows = shape_.rows();
    task.left_over = part<unsigned>(layout_.left_over);
    sample_rows(task);
    const Placing placing{options_.population == Population::kChanged,
                          kWidestBracket * sizeof(float) / sizeof(Real)};
    place_brackets(part<unsigned>(layout_.sample), placing, &counters()->brackets, stream_);

    task.scoring = Scoring::kBrackets;
    const BracketRuns runs = kernels_.bracket_runs(task);
    const unsigned per_block = runs.per_block, blocks = std::min(runs.blocks, kMaxRuns / per_block);
    const uint64_t room = collected_bytes(shape_) / sizeof(Real) / (uint64_t(blocks) * per_block);
    task.brackets = {&counters()->brackets,
                     part<Real>(layout_.scores),
                     part<unsigned>(layout_.sizes),
                     blocks * per_block,
                     per_block,
                     unsigned(room)};
    kernels_.analyse_rows(task, stream_);
    select_quartiles(task.brackets, quartile_population(options_, shape_.elements, 0, 0), task.summary,
                     part<unsigned long long>(layout_.digits), &counters()->selection, stream_);
  }

  void sample_rows(const RowsTask<Real>& whole) const {
    const SampledRows rows(shape_);
    RowsTask<Real> task = whole;
    const uint64_t offset = rows.first * shape_.row_length * size_;
    task.left = static_cast<const std::byte*>(whole.left) + offset;
    task.right = static_cast<const std::byte*>(whole.right) + offset;
    task.rows = rows.count;
    task.every = rows.every;
    task.kl = kl() + rows.first;
    task.summary = nullptr;
    task.scoring = Scoring::kSample;
    task.sample = {part<unsigned>(layout_.sample), rows.one_in};
    kernels_.analyse_rows(task, stream_);
  }

  /// The counters and the divergences, in one wait.
  void read_results() {
    auto* const kl_there = reinterpret_cast<Real*>(results_ + aligned(sizeof(Counters<Real>)));
    check(cudaMemcpyAsync(results_, counters(), sizeof(Counters<Real>), cudaMemcpyDeviceToHost, stream_),
          "copy from the device");
    read(kl_there, kl(), kl_.size());
    std::copy_n(kl_there, kl_.size(), kl_.data());
    const auto& there = *reinterpret_cast<const Counters<Real>*>(results_);
    summary_ = there.summary;
    selection_ = there.selection;
  }

  void analyse_long_rows() {
    for (uint64_t row = 0; row < shape_.rows(); row++) {
      const std::optional<Extent<Real>> extent = look_at_row(row);
      if (!extent) continue;
      kl_[row] = row_divergence(row, *extent);
      if (!shape_.tensor_scope) note_score(double(kl_[row]) * double(extent->max_difference));
    }
    write(kl(), kl_.data(), kl_.size());
  }

  template <class Visit>
  void for_row_slices(uint64_t row, const Visit& visit) const {
    const uint64_t at = row * shape_.row_length;
    for_slices(at, at + shape_.row_length, kSegment, visit);
  }

  /// Nothing when there is something that is not finite.
  std::optional<Extent<Real>> look_at_row(uint64_t row) {
    clear(&counters()->row, sizeof(RowExtent));
    for_row_slices(row, [&](uint64_t begin, uint64_t end, const Stretch& s) {
      kernels_.extent(s.left, s.right, end - begin, shape_.tensor_scope, &counters()->summary,
                      &counters()->row, stream_);
    });
    const double largest_so_far = arithmetic::bit_cast<double>(uint64_t(summary_.largest_score));
    read(&summary_, &counters()->summary, 1);
    note_score(largest_so_far);
    RowExtent found;
    read(&found, &counters()->row, 1);
    if (summary_.non_finite) return {};
    Extent<Real> extent{};
    extent.max_left = arithmetic::value_of_key(Key(found.max_left));
    extent.max_right = arithmetic::value_of_key(Key(found.max_right));
    extent.max_magnitude = arithmetic::bit_cast<Real>(Key(found.max_magnitude));
    extent.max_difference = arithmetic::bit_cast<Real>(Key(found.max_difference));
    return extent;
  }

  void note_score(double score) {
    if (std::isnan(score)) score = std::numeric_limits<double>::infinity();
    const double largest = arithmetic::bit_cast<double>(uint64_t(summary_.largest_score));
    if (!(largest >= score)) summary_.largest_score = arithmetic::bit_cast<uint64_t>(score);
  }

  Real row_divergence(uint64_t row, const Extent<Real>& extent) const {
    const RowDivergence<Real> divergence(options_.epsilon);
    if (shape_.row_length <= kLongRow) {
      const std::vector<double> totals =
          add_up(row, kSlightSums, [&](uint64_t n, const Stretch& s, double* sums) {
            kernels_.slight_sums(p(s), q(s), n, sums, stream_);
          });
      const auto slight = divergence.slight(extent, shape_.row_length, totals.data());
      if (slight.serves) return slight.kl;
    }
    const Real max_p = right_is_p() ? extent.max_right : extent.max_left;
    const Real max_q = right_is_p() ? extent.max_left : extent.max_right;
    return divergence(max_p, max_q, extent, [&](Pass pass, const RowConstants<Real>& constants) {
      const size_t width = has_two_sums(pass) ? 2 : 1;
      const std::vector<double> totals = add_up(row, width, [&](uint64_t n, const Stretch& s, double* sums) {
        kernels_.pass(pass, p(s), q(s), n, constants, sums, stream_);
      });
      return PassTotals{totals[0], width == 2 ? totals[1] : 0};
    });
  }

  /// The `width` sums of a row, added up in the order of its segments.
  template <class Launch>
  std::vector<double> add_up(uint64_t row, size_t width, const Launch& launch) const {
    std::vector<double> totals(width), sums;
    for_row_slices(row, [&](uint64_t begin, uint64_t end, const Stretch& s) {
      launch(end - begin, s, part<double>(layout_.sums));
      sums.resize(width * segments_of(end - begin));
      read(sums.data(), part<double>(layout_.sums), sums.size());
      for (size_t i = 0; i < sums.size(); i++) totals[i % width] += sums[i];
    });
    return totals;
  }

  // ---- quartiles ---------------------------------------------------------------------------------

  /// Nothing when float32 does not hold them.
  std::optional<Quartiles> find_quartiles(double largest_score) {
    const uint64_t population =
        options_.population == Population::kChanged ? summary_.changed : shape_.elements;
    if (population == 0 || largest_score == 0) return Quartiles{};
    const bool in_float32 = sizeof(Real) == sizeof(float) && !shape_.tensor_scope;
    if (uses_brackets_ && !selection_.failed) {
      QuartileRanks ranks(options_, shape_.elements, summary_.changed, 0);
      for (size_t t = 0; t < kQuartileElements; t++)
        ranks.targets()[t / 2].value[t % 2] = double(selection_.targets[t].value);
      return ranks.quartiles(in_float32);
    }
    const std::vector<uint64_t> first = first_digits();
    uint64_t below_zero = 0;
    for (size_t bin = 0; bin < first.size() / 2; bin++) below_zero += first[bin];
    QuartileRanks ranks(options_, shape_.elements, summary_.changed, below_zero);
    select_by_counting(ranks, first);
    return ranks.quartiles(in_float32);
  }

  std::vector<uint64_t> first_digits() {
    if (first_digits_counted_) return read_digits(1, kMaxDigitBits)[0];
    const OrderStatistics start({0}, kKeyBits, kMaxDigitBits);
    return count(start, [&](const Digits& digits) { count_all(digits); })[0];
  }

  void select_by_counting(QuartileRanks& ranks, const std::vector<uint64_t>& first) {
    const std::vector<uint64_t> wanted = ranks.wanted();
    if (wanted.empty()) return;
    OrderStatistics statistics(wanted, kKeyBits, kMaxDigitBits);
    statistics.narrow({first});
    while (!statistics.finished())
      statistics.narrow(count(statistics, [&](const Digits& digits) { count_all(digits); }));
    ranks.set_wanted(values_of(statistics));
  }

  static std::vector<double> values_of(const OrderStatistics& statistics) {
    std::vector<double> values;
    for (const uint64_t key : statistics.keys()) values.push_back(double(arithmetic::value_of_key(Key(key))));
    return values;
  }

  template <class Launch>
  std::vector<std::vector<uint64_t>> count(const OrderStatistics& statistics, const Launch& launch) const {
    launch(begin_digits(statistics.prefixes(), statistics.shift(), statistics.digit_bits()));
    return read_digits(statistics.prefixes().size(), statistics.digit_bits());
  }

  void count_all(const Digits& digits) const {
    for_slices(0, shape_.elements, kSegment, [&](uint64_t begin, uint64_t end, const Stretch& s) {
      for_runs(begin, end, count_factor(), [&](uint64_t at, ScoresTask<Real> run) {
        run.left = s.left + (at - begin) * size_;
        run.right = s.right + (at - begin) * size_;
        kernels_.count_scores(run, digits, stream_);
      });
    });
  }

  Digits begin_digits(const std::vector<uint64_t>& prefixes, int shift, int bits) const {
    Digits digits;
    digits.prefixes = int(prefixes.size());
    digits.shift = shift;
    digits.bits = bits;
    std::copy(prefixes.begin(), prefixes.end(), digits.prefix);
    digits.counts = part<unsigned long long>(layout_.digits);
    clear(digits.counts, sizeof(unsigned long long) * kDigitCounts);
    return digits;
  }

  std::vector<std::vector<uint64_t>> read_digits(size_t prefixes, int bits) const {
    std::vector<unsigned long long> all(prefixes * kMaxDigitBins);
    read(all.data(), part<unsigned long long>(layout_.digits), all.size());
    std::vector<std::vector<uint64_t>> counts;
    for (size_t t = 0; t < prefixes; t++) {
      const auto first = all.begin() + std::ptrdiff_t(t * kMaxDigitBins);
      counts.emplace_back(first, first + (std::ptrdiff_t(1) << bits));
    }
    return counts;
  }

  // ---- scores and the gate -----------------------------------------------------------------------

  /// visit(begin, task) for launches that make up [begin, end): each within what 32-bit indices hold.
  /// `factor`: the one divergence, where there is one. The task lacks its pointers to the elements.
  template <class Visit>
  void for_runs(uint64_t begin, uint64_t end, const Real* factor, const Visit& visit) const {
    for (uint64_t at = begin; at < end;) {
      ScoresTask<Real> run;
      run.is_signed = options_.score == Score::kSigned;
      uint64_t stop = std::min(end, at + kMaxElementsAtOnce);
      if (shape_.one_factor()) {
        run.kl = factor;
      } else {
        const uint64_t row = at / shape_.row_length;
        run.kl = kl() + row;
        if (shape_.row_length > kLongRow) {
          stop = std::min(stop, (row + 1) * shape_.row_length);
        } else {
          run.row_length = unsigned(shape_.row_length);
          run.offset_in_row = unsigned(at % shape_.row_length);
        }
      }
      run.elements = stop - at;
      visit(at, run);
      at = stop;
    }
  }

  /// The soft gate weighs by scores, and so by the divergence itself; under a hard one it cancels.
  void set_gate_factor() const {
    if (!shape_.one_factor()) return;
    const bool cancels = shape_.tensor_scope && options_.gate != Gate::kSoft;
    const Real factor = cancels ? Real(1) : kl_[0];
    write(&counters()->factors[1], &factor, 1);
  }

  // ---- NaN and infinity --------------------------------------------------------------------------

  void keep_finite_side(TensorStats& stats) {
    if (options_.non_finite == NonFinite::kError) throw_first_non_finite();
    kept_operand_ = options_.non_finite == NonFinite::kRight ? 1 : 0;
    stats.kept_operand = kept_operand_;
  }

  [[noreturn]] void throw_first_non_finite() const {
    unsigned long long first = ~0ull;
    write(&counters()->first_non_finite, &first, 1);
    for_slices(0, shape_.elements, kSegment, [&](uint64_t begin, uint64_t end, const Stretch& s) {
      kernels_.find_non_finite(s.left, s.right, end - begin, 2 * begin, &counters()->first_non_finite,
                               stream_);
    });
    read(&first, &counters()->first_non_finite, 1);
    if (first == ~0ull)
      throw Error("ERR_FILE_CHANGED",
                  "Tensor '" + info_.name + "' was changed while it was read. Run again.");
    const uint64_t index = first / 2;
    const bool in_left = first % 2 == 0;
    const Stretch stretch = fetch(index, index + 1);
    std::byte element[8];
    read(element, in_left ? stretch.left : stretch.right, size_);
    throw_non_finite(info_, index, in_left, element);
  }

  void keep(uint64_t n, const std::byte* side, std::byte* out, unsigned long long* taken) const {
    if (*kept_operand_ == 1 && taken != nullptr) add_to(taken, n, stream_);
    if (output_dtype_ != info_.dtype) return kernels_.convert(side, n, output_dtype_, out, stream_);
    if (out == side) return;
    check(cudaMemcpyAsync(out, side, n * size_, cudaMemcpyDeviceToDevice, stream_), "copy a tensor");
  }

  const FusionOptions& options_;
  const OperandInfo& info_;
  const DType output_dtype_;
  const RowShape shape_;
  const uint64_t slice_;
  const size_t size_;
  cudaStream_t stream_;
  const DeviceKernels<Real> kernels_;
  const bool uses_brackets_;
  const Layout<Real> layout_;
  std::byte *memory_ = nullptr, *results_ = nullptr;
  DeviceReader *left_ = nullptr, *right_ = nullptr;  // while preparing

  Summary summary_{};
  std::vector<Real> kl_;  // one a row; one in all under tensor scope, and for rows of one element
  Selection<Real> selection_{};
  bool first_digits_counted_ = false;

  // What the gate needs.
  Real least_ = 0;
  double soft_threshold_ = 0;
  std::optional<size_t> kept_operand_;
};

void DeviceFusion::Implementation::prepare(DeviceReader& left, DeviceReader& right) {
  // As FuseOperator: the soft gate adds the score into the weights, and float32 would show in the last place.
  if (info_.dtype != DType::F64 && options_.gate != Gate::kSoft) {
    single_ = std::make_unique<Fusion<float>>(*this);
    if (single_->prepare(left, right, stats_)) return;
    single_.reset();
    stats_ = {};
  }
  double_ = std::make_unique<Fusion<double>>(*this);
  double_->prepare(left, right, stats_);
}

void DeviceFusion::Implementation::apply(uint64_t begin, uint64_t end, const std::byte* left,
                                         const std::byte* right, std::byte* out, unsigned long long* taken) {
  single_ ? single_->apply(begin, end, left, right, out, taken)
          : double_->apply(begin, end, left, right, out, taken);
}

DeviceFusion::DeviceFusion(const OperandInfo& info, DType output_dtype, const FusionOptions& options,
                           uint64_t slice, DeviceFusionScratch& scratch, cudaStream_t stream)
    : implementation_(std::make_unique<Implementation>(info, output_dtype, options, slice, scratch, stream)) {
}
DeviceFusion::~DeviceFusion() = default;

uint64_t DeviceFusion::scratch_bytes(const OperandInfo& info, const FusionOptions& options, uint64_t slice) {
  const RowShape shape(info, options);
  return Layout<double>(shape, slice, may_use_brackets(shape, options, slice)).end;
}

void DeviceFusion::prepare(DeviceReader& left, DeviceReader& right) { implementation_->prepare(left, right); }

void DeviceFusion::apply(uint64_t begin, uint64_t end, const std::byte* left, const std::byte* right,
                         std::byte* out, unsigned long long* taken) {
  implementation_->apply(begin, end, left, right, out, taken);
}

TensorStats DeviceFusion::stats() const { return implementation_->stats(); }

}  // namespace branchmerge::cuda
