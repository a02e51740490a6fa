#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tensor/tensor_operator.h"

namespace branchmerge {

using Readers = std::vector<TensorReader*>;

/// Elements that are widened and merged together: a tile of each of a few operands stays in a core's cache.
/// It is also the segment of every sum (docs/reproducibility.md).
inline constexpr size_t kTile = 1024;

/// Elements that one task looks at; a multiple of kTile.
inline constexpr uint64_t kBlock = 1 << 17;

inline constexpr size_t kAllInputs = std::numeric_limits<size_t>::max();

/// What operand 0 is.
enum class Base : uint8_t {
  kNone,        // an input as the others
  kKept,        // the base, and the inputs are seen as they are
  kSubtracted,  // the base, and the inputs are seen as their differences from it
};

/// A few elements of every operand in float64.
struct Tile {
  uint64_t begin;
  size_t size;
  const double* base;     // nullptr where there is none
  double* const* inputs;  // values, or differences from the base; scratch that a visitor may change
};

/// fl(x − b) in the precision of docs/methods/README.md, where both are widened values of `dtype`. Rounding a
/// float64 difference of float32 values to float32 gives the float32 difference: 53 >= 2·24 + 2 bits.
inline double difference(bool single, double x, double b) { return single ? double(float(x - b)) : x - b; }

/// The operands of one merge, widened a tile at a time. Refuses NaN and infinity.
class OperandTiles {
 public:
  OperandTiles(const OperandInfo& info, size_t operands, Base base);

  const OperandInfo& info() const { return info_; }
  size_t inputs() const { return operands_ - has_base(); }
  /// Values of BF16, F16 and F32 are float32, and so are their differences.
  bool single() const { return info_.dtype != DType::F64; }

  void give_scratch(size_t workers);

  /// visit(tile) for elements [begin, end) in order, kTile at a time. At most kBlock elements, as the bytes
  /// of all of them are fetched at once. `only`: the one input that is looked at (beside the base); the
  /// others' tiles are stale.
  template <class Visit>
  void read(size_t worker, const Readers& operands, uint64_t begin, uint64_t end, const Visit& visit,
            size_t only = kAllInputs) {
    fetch(worker, operands, begin, end, only);
    for (uint64_t at = begin; at < end; at += kTile)
      visit(widen(worker, at - begin, at, std::min<uint64_t>(kTile, end - at), only));
  }

 private:
  struct Scratch {
    std::vector<const std::byte*> bytes;  // of each operand
    std::vector<double> values;           // a tile of each operand
    std::vector<double*> tiles;
  };

  bool has_base() const { return base_ != Base::kNone; }
  bool is_wanted(size_t operand, size_t only) const {
    return only == kAllInputs || operand == only + has_base() || operand < has_base();
  }
  void fetch(size_t worker, const Readers& operands, uint64_t begin, uint64_t end, size_t only);
  Tile widen(size_t worker, uint64_t offset, uint64_t begin, size_t size, size_t only);
  [[noreturn]] void throw_first_non_finite(size_t worker, const Readers& operands);

  const OperandInfo info_;
  const size_t operands_;
  const Base base_;
  const uint64_t element_bytes_;
  std::vector<Scratch> scratch_;
};

}  // namespace branchmerge
