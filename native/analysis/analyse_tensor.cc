#include "analysis/analyse_tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "analysis/change_kernels.h"
#include "base/error.h"
#include "fusion/order_statistics.h"
#include "tensor/convert.h"
#include "tensor/finite.h"

namespace branchmerge {
namespace {

constexpr size_t kBins = 1 << 16;

/// Rank, in ascending order, of the smallest element of a support.
uint64_t support_rank(uint64_t elements, uint64_t percent) {
  const uint64_t size = elements / 100 * percent + (elements % 100 * percent + 99) / 100;
  return elements - size;
}

std::vector<uint64_t> support_ranks(uint64_t elements) {
  std::vector<uint64_t> ranks;
  ranks.reserve(std::size(kSupportPercents));
  for (const uint64_t percent : kSupportPercents) ranks.push_back(support_rank(elements, percent));
  return ranks;
}

/// The sum of parts[0], parts[stride], …, pairwise.
double pairwise_sum(const double* parts, size_t count, size_t stride) {
  if (count == 1) return parts[0];
  const size_t half = std::bit_ceil(count) / 2;
  return pairwise_sum(parts, half, stride) + pairwise_sum(parts + half * stride, count - half, stride);
}

/// The files' tensors of one name, compared in float32 or float64.
template <class Real>
class Analysis {
 public:
  Analysis(const TensorVersions& versions, WorkerPool& pool, const std::function<void(uint64_t)>& looked_at)
      : versions_(versions),
        pool_(pool),
        looked_at_(looked_at),
        experts_(versions.experts.size()),
        pairs_(pair_count(experts_)),
        gradients_(versions.gradients.size()),
        blocks_((versions.elements + kAnalysisBlock - 1) / kAnalysisBlock),
        thresholds_(experts_) {
    for (const auto* list : {&versions.base, &versions.experts, &versions.merged, &versions.gradients})
      for (const StoredTensor& tensor : *list) operands_.push_back(&tensor);
    for (size_t i = 0; i < experts_; i++)
      statistics_.emplace_back(support_ranks(versions.elements), int(8 * sizeof(Real)));
    scratch_.resize(pool.workers());
    for (Scratch& scratch : scratch_) {
      scratch.tiles.resize(operands_.size() * kChangeTile);
      scratch.changes.resize((experts_ + has_merged()) * kChangeTile);
      scratch.levels.resize(experts_ * kChangeTile);
      scratch.findings = empty();
    }
  }

  TensorFindings run() {
    sum_and_count();
    if (any_changed()) {
      while (!statistics_.empty() && !statistics_[0].finished()) count_digits();
      find_thresholds();
      count_supports();
    }
    return gather();
  }

 private:
  using Bits = std::conditional_t<std::is_same_v<Real, float>, uint32_t, uint64_t>;
  static constexpr DType kReal = std::is_same_v<Real, float> ? DType::F32 : DType::F64;

  struct Scratch {
    std::vector<Real> tiles, changes;  // kChangeTile of each operand; of each expert, and of the merged model
    std::vector<int32_t> levels;       // in how many supports of an expert an element is
    std::vector<const std::byte*> bytes;
    std::vector<uint64_t> counts;  // of digits: for each expert and prefix
    TensorFindings findings;       // counts; and the largest changes
  };

  bool has_merged() const { return !versions_.merged.empty(); }
  size_t merged_operand() const { return 1 + experts_; }
  size_t first_gradient() const { return versions_.base.size() + experts_ + versions_.merged.size(); }

  TensorFindings empty() const {
    TensorFindings findings;
    findings.elements = versions_.elements;
    findings.changes.resize(experts_);
    findings.pairs.resize(pairs_);
    if (has_merged()) findings.merged.experts.resize(experts_);
    findings.gradient_squares.resize(gradients_);
    findings.gradient_products.resize(pair_count(gradients_));
    return findings;
  }

  /// The sums of a block, in this order: the base's squares; of each expert squares and magnitudes; of each
  /// pair product and magnitudes; of the merged model squares, and the product with each expert; of the
  /// gradients squares and products.
  size_t width() const {
    return versions_.base.size() + 2 * experts_ + 2 * pairs_ + (has_merged() ? 1 + experts_ : 0) +
           gradients_ + pair_count(gradients_);
  }

  uint64_t bytes_of(uint64_t elements, size_t operand) const {
    return elements * (dtype_bits(operands_[operand]->dtype) / 8);
  }

  /// visit(scratch, tile size) for every tile of changes.
  template <class Visit>
  void for_changes(const Visit& visit) {
    const size_t count = 1 + experts_;
    pool_.for_each(blocks_, [&](size_t worker, size_t block) {
      const uint64_t begin = block * kAnalysisBlock;
      const uint64_t end = std::min(versions_.elements, begin + kAnalysisBlock);
      Scratch& scratch = scratch_[worker];
      fetch(worker, begin, end, count);
      for (uint64_t at = begin; at < end; at += kChangeTile) {
        const auto size = size_t(std::min<uint64_t>(kChangeTile, end - at));
        widen(scratch, at - begin, size, count);
        visit(scratch, size);
      }
    });
  }

  void fetch(size_t worker, uint64_t begin, uint64_t end, size_t count) {
    std::vector<const std::byte*>& bytes = scratch_[worker].bytes;
    bytes.resize(operands_.size());
    for (size_t i = 0; i < count; i++)
      bytes[i] = operands_[i]->reader->fetch(worker, bytes_of(begin, i), bytes_of(end, i));
  }

  void widen(Scratch& scratch, uint64_t offset, size_t size, size_t count) const {
    for (size_t i = 0; i < count; i++) {
      Real* const tile = &scratch.tiles[i * kChangeTile];
      // Nothing is narrowed, so nothing can be too large.
      (void)convert_elements(operands_[i]->dtype, scratch.bytes[i] + bytes_of(offset, i), kReal,
                             reinterpret_cast<std::byte*>(tile), size);
    }
    if (experts_ == 0) return;
    for (size_t i = 1; i < std::min(count, first_gradient()); i++)
      subtract(&scratch.tiles[i * kChangeTile], scratch.tiles.data(), &scratch.changes[(i - 1) * kChangeTile],
               size);
  }

  /// The first pass: everything that needs no threshold, and the leading digits of the changes.
  void sum_and_count() {
    parts_.assign(blocks_ * width(), 0);
    open_counts();
    pool_.for_each(blocks_, [&](size_t worker, size_t block) {
      const uint64_t begin = block * kAnalysisBlock;
      const uint64_t end = std::min(versions_.elements, begin + kAnalysisBlock);
      Scratch& scratch = scratch_[worker];
      fetch(worker, begin, end, operands_.size());
      check_finite(worker, begin, end);
      for (uint64_t at = begin; at < end; at += kChangeTile) {
        const auto size = size_t(std::min<uint64_t>(kChangeTile, end - at));
        widen(scratch, at - begin, size, operands_.size());
        add_sums(scratch, size, &parts_[block * width()]);
        add_counts(scratch, size);
        count_tile(scratch, size);
      }
      for (size_t i = 0; i < operands_.size(); i++) looked_at_(bytes_of(end - begin, i));
    });
    take_digits();
  }

  void add_sums(Scratch& scratch, size_t size, double* sums) const {
    const auto change = [&](size_t i) { return &scratch.changes[i * kChangeTile]; };
    const auto gradient = [&](size_t i) { return &scratch.tiles[(first_gradient() + i) * kChangeTile]; };
    if (experts_ > 0) *sums++ += dot(scratch.tiles.data(), scratch.tiles.data(), size);
    for (size_t i = 0; i < experts_; i++) {
      *sums++ += dot(change(i), change(i), size);
      *sums++ += sum_magnitudes(change(i), size);
    }
    for (size_t j = 1; j < experts_; j++)
      for (size_t i = 0; i < j; i++) {
        const DotAndMagnitude both = dot_and_magnitude(change(i), change(j), size);
        *sums++ += both.dot;
        *sums++ += both.magnitude;
      }
    if (has_merged()) {
      *sums++ += dot(change(experts_), change(experts_), size);
      for (size_t i = 0; i < experts_; i++) *sums++ += dot(change(experts_), change(i), size);
    }
    for (size_t i = 0; i < gradients_; i++) *sums++ += dot(gradient(i), gradient(i), size);
    for (size_t j = 1; j < gradients_; j++)
      for (size_t i = 0; i < j; i++) *sums++ += dot(gradient(i), gradient(j), size);
  }

  void add_counts(Scratch& scratch, size_t size) const {
    TensorFindings& found = scratch.findings;
    const auto change = [&](size_t i) { return &scratch.changes[i * kChangeTile]; };
    for (size_t i = 0; i < experts_; i++) {
      found.changes[i].changed += count_changed(change(i), size);
      found.changes[i].largest = std::max(found.changes[i].largest, double(largest(change(i), size)));
    }
    for (size_t j = 1; j < experts_; j++)
      for (size_t i = 0; i < j; i++) {
        PairFindings& pair = found.pairs[pair_index(i, j)];
        const SharedChanges shared = count_shared(change(i), change(j), size);
        pair.both += shared.both;
        pair.opposite += shared.opposite;
      }
    if (has_merged()) add_survival(scratch, size);
  }

  void add_survival(Scratch& scratch, size_t size) const {
    MergedFindings& merged = scratch.findings.merged;
    const Real* const base = scratch.tiles.data();
    const Real* const result = &scratch.tiles[merged_operand() * kChangeTile];
    std::array<int32_t, kChangeTile> from_experts{};
    for (size_t i = 0; i < experts_; i++) {
      const Survivors survivors =
          count_survivors(base, &scratch.tiles[(1 + i) * kChangeTile], result, from_experts.data(), size);
      merged.experts[i].taken += survivors.taken;
      merged.experts[i].undone += survivors.undone;
    }
    merged.changed += count_different(base, result, size);
    merged.from_experts += count_set(from_experts.data(), size);
  }

  bool any_changed() const {
    for (const Scratch& scratch : scratch_)
      for (const ChangeFindings& change : scratch.findings.changes)
        if (change.changed > 0) return true;
    return false;
  }

  // ---- thresholds: the digits of |Δ|, 16 bits at a time, of all experts in one pass

  size_t most_prefixes() const {
    size_t most = 0;
    for (const OrderStatistics& each : statistics_) most = std::max(most, each.prefixes().size());
    return most;
  }
  void open_counts() {
    prefix_stride_ = most_prefixes();
    for (Scratch& scratch : scratch_) scratch.counts.assign(experts_ * prefix_stride_ * kBins, 0);
  }
  void count_tile(Scratch& scratch, size_t size) const {
    std::array<Bits, kChangeTile> keys;
    for (size_t i = 0; i < experts_; i++) {
      magnitude_keys(&scratch.changes[i * kChangeTile], keys.data(), size);
      const OrderStatistics& statistics = statistics_[i];
      const int shift = statistics.shift();
      for (size_t p = 0; p < statistics.prefixes().size(); p++) {
        const uint64_t prefix = statistics.prefixes()[p];
        uint64_t* const counts = &scratch.counts[(i * prefix_stride_ + p) * kBins];
        for (size_t k = 0; k < size; k++)
          if (uint64_t(keys[k]) >> shift >> 16 == prefix) counts[keys[k] >> shift & (kBins - 1)]++;
      }
    }
  }
  void take_digits() {
    for (size_t i = 0; i < experts_; i++) {
      std::vector<std::vector<uint64_t>> totals(statistics_[i].prefixes().size(),
                                                std::vector<uint64_t>(kBins));
      for (const Scratch& scratch : scratch_)
        for (size_t p = 0; p < totals.size(); p++)
          for (size_t bin = 0; bin < kBins; bin++)
            totals[p][bin] += scratch.counts[(i * prefix_stride_ + p) * kBins + bin];
      statistics_[i].narrow(totals);
    }
  }
  void count_digits() {
    open_counts();
    for_changes([&](Scratch& scratch, size_t size) { count_tile(scratch, size); });
    take_digits();
  }
  void find_thresholds() {
    for (size_t i = 0; i < experts_; i++) {
      const std::vector<uint64_t> keys = statistics_[i].keys();
      // A threshold of 0 leaves what did not change outside.
      for (size_t level = 0; level < kSupportLevels; level++)
        thresholds_[i][level] = keys[level] == 0 ? std::numeric_limits<Real>::denorm_min()
                                                 : std::bit_cast<Real>(Bits(keys[level]));
    }
  }

  // ---- supports: nested, so that an element is told by how many it is in

  void count_supports() {
    for_changes([&](Scratch& scratch, size_t size) {
      TensorFindings& found = scratch.findings;
      const auto change = [&](size_t i) { return &scratch.changes[i * kChangeTile]; };
      const auto levels = [&](size_t i) { return &scratch.levels[i * kChangeTile]; };
      for (size_t i = 0; i < experts_; i++) {
        support_levels(change(i), thresholds_[i].data(), levels(i), size);
        const LevelCounts counts = count_levels(levels(i), size);
        for (size_t level = 0; level < kSupportLevels; level++)
          found.changes[i].supports[level] += counts[level];
      }
      for (size_t j = 1; j < experts_; j++)
        for (size_t i = 0; i < j; i++) {
          PairFindings& pair = found.pairs[pair_index(i, j)];
          const SharedLevels shared = count_shared_levels(levels(i), levels(j), change(i), change(j), size);
          for (size_t level = 0; level < kSupportLevels; level++) {
            pair.shared[level] += shared.both[level];
            pair.shared_opposite[level] += shared.opposite[level];
          }
        }
    });
  }

  // ---- what came of it

  TensorFindings gather() {
    TensorFindings found = empty();
    for (const Scratch& scratch : scratch_) add(scratch.findings, found);
    const double* part = parts_.data();
    const auto next = [&] { return sum_of_blocks(part++); };
    if (experts_ > 0) found.base_squares = next();
    for (ChangeFindings& change : found.changes) {
      change.squares = next();
      change.magnitudes = next();
    }
    for (PairFindings& pair : found.pairs) {
      pair.product = next();
      pair.magnitudes = next();
    }
    if (has_merged()) {
      found.merged.squares = next();
      for (SurvivalFindings& expert : found.merged.experts) expert.product = next();
    }
    for (double& squares : found.gradient_squares) squares = next();
    for (double& product : found.gradient_products) product = next();
    for (size_t i = 0; i < experts_; i++)
      for (size_t level = 0; level < kSupportLevels; level++)
        found.changes[i].thresholds[level] = thresholds_[i][level] == std::numeric_limits<Real>::denorm_min()
                                                 ? 0
                                                 : double(thresholds_[i][level]);
    return found;
  }

  double sum_of_blocks(const double* first) const {
    const double sum = pairwise_sum(first, blocks_, width());
    if (!std::isfinite(sum))
      throw Error("ERR_NON_FINITE", operands_[0]->describe +
                                        " and the other versions of it: expected changes whose products a "
                                        "float64 holds, but they are too large. Leave the tensor out, or "
                                        "repair the checkpoints.");
    return sum;
  }

  static void add(const TensorFindings& part, TensorFindings& whole) {
    for (size_t i = 0; i < whole.changes.size(); i++) {
      ChangeFindings& to = whole.changes[i];
      to.changed += part.changes[i].changed;
      to.largest = std::max(to.largest, part.changes[i].largest);
      for (size_t level = 0; level < kSupportLevels; level++)
        to.supports[level] += part.changes[i].supports[level];
    }
    for (size_t i = 0; i < whole.pairs.size(); i++) {
      PairFindings& to = whole.pairs[i];
      to.both += part.pairs[i].both;
      to.opposite += part.pairs[i].opposite;
      for (size_t level = 0; level < kSupportLevels; level++) {
        to.shared[level] += part.pairs[i].shared[level];
        to.shared_opposite[level] += part.pairs[i].shared_opposite[level];
      }
    }
    whole.merged.changed += part.merged.changed;
    whole.merged.from_experts += part.merged.from_experts;
    for (size_t i = 0; i < whole.merged.experts.size(); i++) {
      whole.merged.experts[i].taken += part.merged.experts[i].taken;
      whole.merged.experts[i].undone += part.merged.experts[i].undone;
    }
  }

  void check_finite(size_t worker, uint64_t begin, uint64_t end) {
    for (size_t i = 0; i < operands_.size(); i++)
      if (find_non_finite(operands_[i]->dtype, scratch_[worker].bytes[i], end - begin) < end - begin)
        throw_first_non_finite(worker);
  }

  // Whichever worker finds one, the first of the first file is named.
  [[noreturn]] void throw_first_non_finite(size_t worker) {
    for (size_t i = 0; i < operands_.size(); i++)
      for (uint64_t begin = 0; begin < versions_.elements; begin += kAnalysisBlock) {
        const uint64_t end = std::min(versions_.elements, begin + kAnalysisBlock);
        const std::byte* const bytes =
            operands_[i]->reader->fetch(worker, bytes_of(begin, i), bytes_of(end, i));
        const size_t found = find_non_finite(operands_[i]->dtype, bytes, end - begin);
        if (found == end - begin) continue;
        double value;
        widen_elements(operands_[i]->dtype, bytes + bytes_of(found, i), &value, 1);
        const char* const shown = std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
        throw Error("ERR_NON_FINITE", operands_[i]->describe + " holds " + shown + " at element " +
                                          std::to_string(begin + found) + ". Repair the checkpoint.");
      }
    throw Error("ERR_FILE_CHANGED", operands_[0]->describe + " was changed while it was read. Run again.");
  }

  const TensorVersions& versions_;
  WorkerPool& pool_;
  const std::function<void(uint64_t)>& looked_at_;
  const size_t experts_, pairs_, gradients_, blocks_;
  std::vector<const StoredTensor*> operands_;  // base, experts, merged, gradients
  std::vector<OrderStatistics> statistics_;    // of each expert
  std::vector<std::array<Real, kSupportLevels>> thresholds_;
  size_t prefix_stride_ = 0;
  std::vector<double> parts_;  // width() sums of each block
  std::vector<Scratch> scratch_;
};

}  // namespace

TensorFindings analyse_tensor(const TensorVersions& versions, WorkerPool& pool,
                              const std::function<void(uint64_t)>& looked_at) {
  bool single = true;
  for (const auto* list : {&versions.base, &versions.experts, &versions.merged, &versions.gradients})
    for (const StoredTensor& tensor : *list) single = single && tensor.dtype != DType::F64;
  if (versions.elements == 0) {
    TensorFindings findings;
    findings.changes.resize(versions.experts.size());
    findings.pairs.resize(pair_count(versions.experts.size()));
    if (!versions.merged.empty()) findings.merged.experts.resize(versions.experts.size());
    findings.gradient_squares.resize(versions.gradients.size());
    findings.gradient_products.resize(pair_count(versions.gradients.size()));
    return findings;
  }
  return single ? Analysis<float>(versions, pool, looked_at).run()
                : Analysis<double>(versions, pool, looked_at).run();
}

}  // namespace branchmerge
