#pragma once
#include <memory>

#include "sft/ops/backend.h"

namespace branchmerge::sft {

/// A backend on `threads` threads of this process; its memory is the process's. It sets OpenBLAS to one
/// thread for each call: the products are divided here. Results do not depend on the number of threads.
std::unique_ptr<Backend> make_cpu_backend(size_t threads);

}  // namespace branchmerge::sft
