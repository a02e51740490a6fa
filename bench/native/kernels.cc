// What one core gets through in each kernel: bytes of both inputs a second, in memory of 2 MiB pages, on
// tensors far larger than the caches. JSON on standard output.
#include "fusion/cpu/kernels.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/page_buffer.h"
#include "fusion/row_divergence.h"

using namespace branchmerge;

namespace {

constexpr size_t kColumns = 5120, kRows = 8192;  // 84 MB a side in bf16
constexpr int kRepeats = 5;

/// Small pseudo-random integers; the kernels' speed does not depend on how good they are.
uint32_t next_random(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return uint32_t(state >> 33);
}

uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// Weights of standard deviation 0.02, and a fine-tune of them.
void make_pair(uint16_t* left, uint16_t* right) {
  uint64_t state = 1;
  const auto bell = [&] {
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += float(next_random(state)) * 0x1p-31f - 0.5f;
    return sum * 1.732f;
  };
  for (size_t i = 0; i < kColumns * kRows; i++) {
    const float weight = 0.02f * bell();
    left[i] = to_bf16(weight);
    right[i] = to_bf16(weight + 5e-4f * bell());
  }
}

double best_seconds(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < kRepeats; i++) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

class Bench {
 public:
  Bench() : left_(2 * kColumns * kRows), right_(2 * kColumns * kRows), out_(2 * kColumns * kRows) {
    make_pair(reinterpret_cast<uint16_t*>(left_.data()), reinterpret_cast<uint16_t*>(right_.data()));
  }

  void run(const cpu::InstructionSet& set) {
    const cpu::Kernels<float>& k = set.singles[size_t(cpu::Storage::kBF16)];
    // The scalar kernels call the C library for every fma: a sample of the rows is enough.
    const size_t rows = std::string(set.name) == "scalar" ? kRows / 64 : kRows;
    const RowDivergence<float> divergence(1e-8);
    std::vector<double> sums(kSlightSums * segments_of(kColumns));
    std::vector<uint32_t> counts(2 * cpu::kHistogramBins), refined(3 * cpu::kHistogramBins);
    std::vector<float> kl(rows);

    const auto analyse = [&](size_t row) {
      const auto extent = k.slight_sums(right(row), left(row), kColumns, sums.data());
      kl[row] = divergence.slight(extent, kColumns, fold(sums, kSlightSums).data()).kl;
    };
    const auto analyse_in_general = [&](size_t row) {
      const auto extent = k.extent(left(row), right(row), kColumns);
      kl[row] = divergence(extent.max_right, extent.max_left, extent,
                           [&](Pass pass, const RowConstants<float>& constants) {
                             k.passes[size_t(pass)](right(row), left(row), kColumns, constants, sums.data());
                             const std::vector<double> totals = fold(sums, has_two_sums(pass) ? 2 : 1);
                             return PassTotals{totals[0], has_two_sums(pass) ? totals[1] : 0};
                           });
    };
    const auto for_rows = [&](const auto& visit) {
      return [=] {
        for (size_t row = 0; row < rows; row++) visit(row);
      };
    };
    print("divergence, general form", set, rows, for_rows(analyse_in_general));
    print("divergence", set, rows, for_rows(analyse));
    cpu::Brackets<float> brackets{3, {}, {}, {}, {}, {}, inside_.size() / 3};
    print("brackets", set, rows, for_rows([&](size_t r) {
            if (r == 0) place_brackets(brackets, kl[0]);
            k.bracket(left(r), right(r), kColumns, kl[r], brackets);
          }));
    print("histogram", set, rows,
          for_rows([&](size_t r) { k.histogram(left(r), right(r), kColumns, kl[r], false, counts.data()); }));
    const cpu::Refinement refinement = busiest_bins(counts, refined);
    print("refinement", set, rows,
          for_rows([&](size_t r) { k.refine(left(r), right(r), kColumns, kl[r], false, refinement); }));
    const float threshold = kl[0] * 1.5e-3f;
    print("gate", set, rows, for_rows([&](size_t r) {
            k.hard_gate(left(r), right(r), kColumns, kl[r], {false, false}, threshold,
                        reinterpret_cast<unsigned char*>(out_.data()) + 2 * r * kColumns);
          }));
  }

 private:
  /// The sums over a row, of `width` a segment.
  static std::vector<double> fold(const std::vector<double>& sums, size_t width) {
    std::vector<double> totals(width);
    for (size_t i = 0; i < width * segments_of(kColumns); i++) totals[i % width] += sums[i];
    return totals;
  }
  const unsigned char* left(size_t row) const {
    return reinterpret_cast<unsigned char*>(left_.data()) + 2 * row * kColumns;
  }
  const unsigned char* right(size_t row) const {
    return reinterpret_cast<unsigned char*>(right_.data()) + 2 * row * kColumns;
  }

  /// One score in eighty in each, as a tensor of tens of millions of elements has them: the differences are
  /// half-normal.
  void place_brackets(cpu::Brackets<float>& brackets, float kl) {
    const float quartiles[] = {0.3186f, 0.6745f, 1.1503f};
    for (int j = 0; j < 3; j++) {
      brackets.low[j] = kl * 5e-4f * (quartiles[j] - 0.009f);
      brackets.high[j] = kl * 5e-4f * (quartiles[j] + 0.009f);
      brackets.inside[j] = &inside_[size_t(j) * brackets.capacity];
      brackets.inside_size[j] = 0;
    }
  }

  /// Three neighbouring bins around the fullest, as three quartiles would ask for.
  static cpu::Refinement busiest_bins(const std::vector<uint32_t>& counts, std::vector<uint32_t>& refined) {
    const size_t fullest = size_t(std::max_element(counts.begin(), counts.end()) - counts.begin()) / 2;
    cpu::Refinement refinement{3, 0, {}, {}};
    for (int t = 0; t < 3; t++) {
      refinement.prefix[t] = fullest + size_t(t);
      refinement.counts[t] = &refined[size_t(t) * cpu::kHistogramBins];
    }
    return refinement;
  }

  void print(const char* name, const cpu::InstructionSet& set, size_t rows,
             const std::function<void()>& work) {
    const double seconds = best_seconds(work);
    const double bytes = 4.0 * double(kColumns) * double(rows);
    std::printf("%s{\"name\":\"%s\",\"instructionSet\":\"%s\",\"gigabytesPerSecond\":%.3f}",
                first_ ? "" : ",", name, set.name, bytes / seconds / 1e9);
    first_ = false;
  }

  PageBuffer left_, right_, out_;
  std::vector<float> inside_ = std::vector<float>(3 * kColumns * kRows / 4);
  bool first_ = true;
};

}  // namespace

int main() {
  try {
    Bench bench;
    std::printf("{\"kernels\":[");
    for (const char* name : {"avx512", "avx2", "scalar"})
      if (const cpu::InstructionSet* set = cpu::instruction_set(name)) bench.run(*set);
    std::printf("]}\n");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels: %s\n", error.what());
    return 1;
  }
}
