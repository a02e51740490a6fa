#pragma once
#include <cstdint>

namespace branchmerge::sft {

/// Memory of this process that is resident now, and the most that ever was, in bytes (Linux: VmRSS, VmHWM).
/// getrusage would count what the parent had when it started this program.
uint64_t resident_bytes();
uint64_t peak_resident_bytes();

}  // namespace branchmerge::sft
