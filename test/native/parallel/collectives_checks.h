#pragma once
#include "sft/parallel/collectives.h"

namespace branchmerge::sft {

/// The checks below are for every implementation. Each is called on every rank and throws std::runtime_error
/// where a result is not, bit for bit, what a loop over the ranks gives. `count` is the length of a slice or
/// of an array.
void check_sums(Collectives& collectives, uint64_t count);
void check_max(Collectives& collectives, uint64_t count);
void check_reduce_scatter(Collectives& collectives, uint64_t count);
void check_all_gather(Collectives& collectives, uint64_t count);
void check_broadcast(Collectives& collectives, uint64_t count);

}  // namespace branchmerge::sft
