#pragma once
#include "sft/parallel/collectives.h"

namespace branchmerge::sft {

/// The processes that this program was started as, by mpirun or alone. main connects them.
Collectives& test_processes();

}  // namespace branchmerge::sft
