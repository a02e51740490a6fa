#pragma once
#include <cstdint>

namespace branchmerge {

// The fields of docs/fusion.md. Score S = KL · |L − R| or KL · (L − R); Right is taken where S passes the
// threshold median + lambda · (Q3 − Q1).
enum class Scope : uint8_t { kRow, kTensor };
enum class Divergence : uint8_t { kRightLeft, kLeftRight };  // which model is P of KL(P‖Q): the first named
enum class Score : uint8_t { kAbsolute, kSigned };
enum class Gate : uint8_t { kGreaterEqual, kGreater, kSoft };
enum class Quantile : uint8_t { kLower, kLinear };
enum class Population : uint8_t { kAll, kChanged };
enum class NonFinite : uint8_t { kError, kLeft, kRight };

/// Defaults are the preset `arcee`. lambda: finite, >= 0. epsilon: 0 or 1e-30 to 1.
struct FusionOptions {
  Scope scope = Scope::kRow;
  Divergence divergence = Divergence::kRightLeft;
  Score score = Score::kAbsolute;
  Gate gate = Gate::kGreaterEqual;
  Quantile quantile = Quantile::kLower;
  Population population = Population::kAll;
  NonFinite non_finite = NonFinite::kError;
  double lambda = 1.5;
  double epsilon = 1e-8;

  bool operator==(const FusionOptions&) const = default;
};

}  // namespace branchmerge
