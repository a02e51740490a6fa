#include "methods/operand_tiles.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "tensor/convert.h"
#include "tensor/finite.h"

namespace branchmerge {

OperandTiles::OperandTiles(const OperandInfo& info, size_t operands, Base base)
    : info_(info), operands_(operands), base_(base), element_bytes_(dtype_bits(info.dtype) / 8) {}

void OperandTiles::give_scratch(size_t workers) {
  scratch_.resize(workers);
  for (Scratch& scratch : scratch_) {
    scratch.bytes.resize(operands_);
    scratch.values.resize(operands_ * kTile);
    scratch.tiles.clear();
    for (size_t i = 0; i < operands_; i++) scratch.tiles.push_back(&scratch.values[i * kTile]);
  }
}

void OperandTiles::fetch(size_t worker, const Readers& operands, uint64_t begin, uint64_t end, size_t only) {
  for (size_t i = 0; i < operands_; i++) {
    if (!is_wanted(i, only)) continue;
    const std::byte* bytes = operands[i]->fetch(worker, begin * element_bytes_, end * element_bytes_);
    if (find_non_finite(info_.dtype, bytes, end - begin) < end - begin)
      throw_first_non_finite(worker, operands);
    scratch_[worker].bytes[i] = bytes;
  }
}

Tile OperandTiles::widen(size_t worker, uint64_t offset, uint64_t begin, size_t size, size_t only) {
  Scratch& mine = scratch_[worker];
  const double* base = has_base() ? mine.tiles[0] : nullptr;
  for (size_t i = 0; i < operands_; i++) {
    if (!is_wanted(i, only)) continue;
    double* tile = mine.tiles[i];
    widen_elements(info_.dtype, mine.bytes[i] + offset * element_bytes_, tile, size);
    if (base_ == Base::kSubtracted && i > 0)
      for (size_t j = 0; j < size; j++) tile[j] = difference(single(), tile[j], base[j]);
  }
  return {begin, size, base, mine.tiles.data() + has_base()};
}

// Whichever worker finds one, the first of the tensor is named.
void OperandTiles::throw_first_non_finite(size_t worker, const Readers& operands) {
  for (uint64_t begin = 0; begin < info_.elements; begin += kBlock) {
    const uint64_t size = std::min(info_.elements - begin, kBlock);
    uint64_t first = size;
    size_t where = 0;
    double value = 0;
    for (size_t i = 0; i < operands_; i++) {
      const std::byte* bytes =
          operands[i]->fetch(worker, begin * element_bytes_, (begin + size) * element_bytes_);
      const uint64_t found = find_non_finite(info_.dtype, bytes, size);
      if (found >= first) continue;
      first = found;
      where = i;
      widen_elements(info_.dtype, bytes + found * element_bytes_, &value, 1);
    }
    if (first == size) continue;
    const std::string model = has_base() && where == 0 ? "the base"
                                                       : "input " + std::to_string(where + !has_base()) +
                                                             " of " + std::to_string(inputs());
    throw Error("ERR_NON_FINITE", "Tensor '" + info_.name + "' of " + model + " holds " +
                                      (std::isnan(value) ? "NaN"
                                       : value > 0       ? "Infinity"
                                                         : "-Infinity") +
                                      " at element " + std::to_string(begin + first) +
                                      ". Repair the checkpoint.");
  }
  throw Error("ERR_FILE_CHANGED", "Tensor '" + info_.name + "' was changed while it was read. Run again.");
}

}  // namespace branchmerge
