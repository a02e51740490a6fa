#pragma once
#include <sys/resource.h>

namespace branchmerge::sandbox {

/// Limits for the interpreter and all programs: processes and threads, descriptors, no core dumps, room for
/// deep recursion. What a run may use of memory, processor time and output is set for each run (zygote.py).
///
/// @param threads how many the user may have altogether
void set_limits(rlim_t threads);

/// How many processes and threads a sandbox may have. Where others of the user are counted, too, theirs come
/// on top.
rlim_t thread_limit(bool counts_others);

}  // namespace branchmerge::sandbox
