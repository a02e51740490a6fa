#include "methods/method_operator.h"

#include <string>

#include "error.h"
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
  round_to_dtype(result, output_dtype_, out, tile.size);
  const size_t found = find_non_finite(output_dtype_, out, tile.size);
  if (found == tile.size) return;
  throw Error("ERR_NON_FINITE", "Tensor '" + tiles_.info().name + "': the merged value of element " +
                                    std::to_string(tile.begin + found) + " does not fit " +
                                    std::string(dtype_name(output_dtype_)) +
                                    ". Choose a wider dtype or smaller weights, or repair the checkpoint.");
}

}  // namespace branchmerge
