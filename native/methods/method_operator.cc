#include "methods/method_operator.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "tensor/convert.h"
#include "tensor/finite.h"

namespace branchmerge {

void MethodOperator::prepare(const Readers& operands, WorkerPool& pool) {
  tiles_.give_scratch(pool.workers());
  if (tiles_.info().elements == 0) return;
  Passes passes(tiles_, operands, pool);
  analyse(passes);
}

uint64_t MethodOperator::apply(size_t worker, uint64_t begin, uint64_t end, const Readers& operands,
                               std::byte* out) {
  const uint64_t size = dtype_bits(output_dtype_) / 8;
  double result[kTile];
  for (uint64_t from = begin; from < end; from += kBlock) {
    const uint64_t to = std::min(end, from + kBlock);
    enter(worker, operands, from, to);
    tiles_.read(worker, operands, from, to, [&](const Tile& tile) {
      combine(worker, tile, result);
      write(tile, result, out + (tile.begin - begin) * size);
    });
  }
  return 0;
}

void MethodOperator::write(const Tile& tile, const double* result, std::byte* out) const {
  const auto what = [&](size_t found) {
    return "Tensor '" + tiles_.info().name + "': the merged value of element " +
           std::to_string(tile.begin + found) + " is";
  };
  const size_t large = round_to_dtype(result, output_dtype_, out, tile.size);
  if (large < tile.size)
    throw Error("ERR_NON_FINITE", does_not_fit(what(large), result[large], output_dtype_));
  const size_t found = find_non_finite(output_dtype_, out, tile.size);
  if (found == tile.size) return;
  throw Error("ERR_NON_FINITE", what(found) + (std::isnan(result[found]) ? " NaN" : " infinite") +
                                    " though its inputs are finite. Choose smaller weights.");
}

}  // namespace branchmerge
