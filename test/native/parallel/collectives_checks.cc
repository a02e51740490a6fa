#include "collectives_checks.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace branchmerge::sft {
namespace {

/// What rank `rank` contributes at `index`: magnitudes from 1e-4 to 1e8 of both signs, so that another order
/// of the summands gives other bits.
template <class T>
T value(size_t rank, uint64_t index) {
  const uint64_t hash = (index * 1'000'003 + rank * 7'919 + 12'345) * 0x9E3779B97F4A7C15ULL >> 33;
  static constexpr double kScales[] = {1e-4, 1, 1e4, 1e8, -1, -1e4, -1e8};
  return static_cast<T>(static_cast<double>(hash % 10'007 + 1) / 1e4 * kScales[hash % 7]);
}

template <class T>
T sum_of_ranks(size_t ranks, uint64_t index) {
  T sum = value<T>(0, index);
  for (size_t rank = 1; rank < ranks; rank++) sum += value<T>(rank, index);
  return sum;
}

template <class T>
std::vector<T> values(size_t rank, uint64_t count) {
  std::vector<T> result(count);
  for (uint64_t i = 0; i < count; i++) result[i] = value<T>(rank, i);
  return result;
}

void require(bool holds, const char* what, uint64_t index, uint64_t count) {
  if (!holds)
    throw std::runtime_error(std::string(what) + " is wrong at " + std::to_string(index) + " of " +
                             std::to_string(count));
}

template <class T>
void check_sum(Collectives& collectives, uint64_t count) {
  std::vector<T> data = values<T>(collectives.rank(), count);
  collectives.all_reduce_sum(std::span(data));
  for (uint64_t i = 0; i < count; i++)
    require(data[i] == sum_of_ranks<T>(collectives.size(), i), "all_reduce_sum", i, count);
}

}  // namespace

void check_sums(Collectives& collectives, uint64_t count) {
  check_sum<float>(collectives, count);
  check_sum<double>(collectives, count);
}

void check_max(Collectives& collectives, uint64_t count) {
  const auto number = [](size_t rank, uint64_t i) {
    return static_cast<int64_t>((rank * 31 + i * 17) % 101) * 1'000'000'007 - 50'000'000'000;
  };
  std::vector<int64_t> data(count);
  for (uint64_t i = 0; i < count; i++) data[i] = number(collectives.rank(), i);
  collectives.all_reduce_max(data);
  for (uint64_t i = 0; i < count; i++) {
    int64_t largest = number(0, i);
    for (size_t rank = 1; rank < collectives.size(); rank++) largest = std::max(largest, number(rank, i));
    require(data[i] == largest, "all_reduce_max", i, count);
  }
}

void check_reduce_scatter(Collectives& collectives, uint64_t count) {
  std::vector<float> slices = values<float>(collectives.rank(), count * collectives.size());
  collectives.reduce_scatter_sum(slices.data(), count);
  const uint64_t begin = collectives.rank() * count;
  for (uint64_t i = begin; i < begin + count; i++)
    require(slices[i] == sum_of_ranks<float>(collectives.size(), i), "reduce_scatter_sum", i, count);
}

void check_all_gather(Collectives& collectives, uint64_t count) {
  std::vector<float> slices(count * collectives.size(), -1);
  for (uint64_t i = 0; i < count; i++)
    slices[collectives.rank() * count + i] = value<float>(collectives.rank(), i);
  collectives.all_gather(slices.data(), count);
  for (size_t rank = 0; rank < collectives.size(); rank++)
    for (uint64_t i = 0; i < count; i++)
      require(slices[rank * count + i] == value<float>(rank, i), "all_gather", i, count);
}

void check_broadcast(Collectives& collectives, uint64_t count) {
  for (size_t root = 0; root < collectives.size(); root++) {
    std::vector<float> data = values<float>(collectives.rank(), count);
    collectives.broadcast(std::as_writable_bytes(std::span(data)), root);
    for (uint64_t i = 0; i < count; i++) require(data[i] == value<float>(root, i), "broadcast", i, count);
  }
}

}  // namespace branchmerge::sft
