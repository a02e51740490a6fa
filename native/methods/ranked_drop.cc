#include "methods/ranked_drop.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "methods/keep_if.h"

namespace branchmerge {
namespace {

/// Rows that are ranked together: reading them costs the same as reading one.
constexpr uint64_t kElementsTogether = 1 << 13;

uint64_t magnitude_bits(double difference) { return std::bit_cast<uint64_t>(std::fabs(difference)); }

/// By magnitude; equals stay in order. A byte at a time, least significant first; bytes that are all the same
/// are skipped, which is most of the bytes of a float32 in a float64.
template <class Ranked>
void sort_by_magnitude(std::vector<Ranked>& row, std::vector<Ranked>& other) {
  std::array<std::array<uint32_t, 256>, 8> counts{};
  for (const Ranked& each : row)
    for (size_t byte = 0; byte < 8; byte++) counts[byte][each.magnitude >> 8 * byte & 0xff]++;
  other.resize(row.size());
  for (size_t byte = 0; byte < 8; byte++) {
    std::array<uint32_t, 256>& starts = counts[byte];
    if (starts[row[0].magnitude >> 8 * byte & 0xff] == row.size()) continue;
    uint32_t start = 0;
    for (uint32_t& count : starts) start += std::exchange(count, start);
    for (const Ranked& each : row) other[starts[each.magnitude >> 8 * byte & 0xff]++] = each;
    row.swap(other);
  }
}

}  // namespace

RankedDrop::RankedDrop(const OperandInfo& info, std::vector<double> density, std::vector<double> epsilon,
                       uint64_t seed)
    : density_(std::move(density)),
      epsilon_(std::move(epsilon)),
      row_length_(info.shape.empty() ? 1 : info.shape.back()) {
  for (size_t m = 0; m < density_.size(); m++) random_.emplace_back(seed, info.name, m);
}

void RankedDrop::Mask::clear(uint64_t first, uint64_t size) {
  begin = first;
  bits.assign((size + 63) / 64, 0);
}

void RankedDrop::prepare(Passes& passes) {
  const size_t inputs = density_.size();
  scratch_.resize(passes.pool().workers());
  for (Scratch& scratch : scratch_) {
    scratch.rows.resize(inputs);
    scratch.masks.resize(inputs);
  }
  if (!rows_are_long()) return;
  const uint64_t rows = passes.elements() / row_length_;
  long_masks_.assign(rows, std::vector<Mask>(inputs));
  passes.pool().for_each(rows * inputs, [&](size_t worker, size_t i) {
    if (draws(i % inputs)) mask_long_row(passes, worker, i / inputs, i % inputs);
  });
}

void RankedDrop::mask_long_row(Passes& passes, size_t worker, uint64_t row, size_t input) {
  Scratch& scratch = scratch_[worker];
  std::vector<Ranked>& elements = scratch.rows[input];
  elements.clear();
  const uint64_t first = row * row_length_, last = first + row_length_;
  for (uint64_t begin = first; begin < last; begin += kBlock)
    passes.read(
        worker, begin, std::min(last, begin + kBlock),
        [&](const Tile& tile) {
          for (size_t i = 0; i < tile.size; i++)
            elements.push_back({magnitude_bits(tile.inputs[input][i]), tile.begin + i});
        },
        input);
  Mask& mask = long_masks_[row][input];
  mask.clear(first, row_length_);
  mask_row(scratch, input, elements, mask);
}

void RankedDrop::enter(size_t worker, OperandTiles& tiles, const Readers& operands, uint64_t begin,
                       uint64_t end) {
  if (rows_are_long() || row_length_ == 1) return;
  Scratch& scratch = scratch_[worker];
  const uint64_t first = begin / row_length_ * row_length_,
                 last = (end + row_length_ - 1) / row_length_ * row_length_;
  for (Mask& mask : scratch.masks) mask.clear(first, last - first);
  const uint64_t together = std::max<uint64_t>(1, kElementsTogether / row_length_) * row_length_;
  for (uint64_t from = first; from < last; from += together) {
    for (std::vector<Ranked>& row : scratch.rows) row.clear();
    tiles.read(worker, operands, from, std::min(last, from + together), [&](const Tile& tile) {
      for (size_t m = 0; m < density_.size(); m++)
        for (size_t i = 0; i < tile.size && draws(m); i++)
          scratch.rows[m].push_back({magnitude_bits(tile.inputs[m][i]), tile.begin + i});
    });
    for (size_t m = 0; m < density_.size(); m++)
      for (size_t at = 0; at < scratch.rows[m].size(); at += row_length_)
        mask_row(scratch, m, std::span(scratch.rows[m]).subspan(at, row_length_), scratch.masks[m]);
  }
}

void RankedDrop::mask_row(Scratch& scratch, size_t input, std::span<const Ranked> row, Mask& mask) const {
  const double least = density_[input] - epsilon_[input], spread = 2 * epsilon_[input];
  scratch.row.assign(row.begin(), row.end());
  sort_by_magnitude(scratch.row, scratch.other);
  for (size_t rank = 0; rank < scratch.row.size(); rank++) {
    const uint64_t place = scratch.row[rank].place;
    const double probability = least + spread * (double(rank) / double(row_length_ - 1));
    if (random_[input](place) < probability) mask.set(place);
  }
}

void RankedDrop::thin(size_t worker, size_t input, uint64_t begin, double* difference, size_t n) const {
  if (keeps_everything(input)) return;
  if (!draws(input)) return void(std::fill_n(difference, n, 0.0));
  for (size_t i = 0; i < n; i++) {
    const uint64_t place = begin + i;
    const bool kept = row_length_ == 1  ? random_[input](place) < density_[input]
                      : rows_are_long() ? long_masks_[place / row_length_][input][place]
                                        : scratch_[worker].masks[input][place];
    difference[i] = keep_if(kept, difference[i]);
  }
}

}  // namespace branchmerge
