#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace branchmerge {

/// A support is the elements of a tensor whose changes are among the largest so many per cent.
inline constexpr std::array<uint64_t, 4> kSupportPercents{1, 5, 10, 20};
inline constexpr size_t kSupportLevels = kSupportPercents.size();

/// Position of the pair of i and j, i < j, among pairs: (0,1), (0,2), (1,2), (0,3), …
constexpr size_t pair_index(size_t i, size_t j) { return j * (j - 1) / 2 + i; }
constexpr size_t pair_count(size_t n) { return n < 2 ? 0 : n * (n - 1) / 2; }

/// The change Δ = x − base that one expert made to a tensor.
struct ChangeFindings {
  uint64_t changed = 0;                             // elements with Δ ≠ 0
  double squares = 0;                               // ΣΔ²
  double magnitudes = 0;                            // Σ|Δ|
  double largest = 0;                               // max |Δ|
  std::array<double, kSupportLevels> thresholds{};  // the least |Δ| of each support; 0: all that changed
  std::array<uint64_t, kSupportLevels> supports{};  // elements of each support
};

/// The changes of two experts to a tensor.
struct PairFindings {
  double product = 0;                                      // ΣΔ_i·Δ_j
  double magnitudes = 0;                                   // Σ|Δ_i·Δ_j|
  uint64_t both = 0;                                       // elements that both changed
  uint64_t opposite = 0;                                   // of these, with different signs
  std::array<uint64_t, kSupportLevels> shared{};           // elements in both supports
  std::array<uint64_t, kSupportLevels> shared_opposite{};  // of these, with different signs
};

/// What is left of one expert's change in the merged model.
struct SurvivalFindings {
  double product = 0;   // Σ(merged − base)·Δ
  uint64_t taken = 0;   // elements with Δ ≠ 0 and the expert's value
  uint64_t undone = 0;  // elements with Δ ≠ 0 and the base's value
};

struct MergedFindings {
  double squares = 0;         // Σ(merged − base)²
  uint64_t changed = 0;       // elements that differ from the base
  uint64_t from_experts = 0;  // of these, with the value of an expert
  std::vector<SurvivalFindings> experts;
};

struct TensorFindings {
  uint64_t elements = 0;
  double base_squares = 0;
  std::vector<ChangeFindings> changes;    // of each expert
  std::vector<PairFindings> pairs;        // pair_index
  MergedFindings merged;                  // zero without a merged model
  std::vector<double> gradient_squares;   // of each domain
  std::vector<double> gradient_products;  // pair_index
};

}  // namespace branchmerge
