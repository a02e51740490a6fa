#pragma once
#include "sandbox/options.h"

namespace branchmerge::sandbox {

/// Starts the interpreter in the best sandbox that this system allows, tells `status` what that is, and
/// waits. When whoever holds the other end of descriptor 0 is gone, or the interpreter is, everything that
/// was started is killed.
///
/// @return the exit status
int supervise(const Options& options, int status);

}  // namespace branchmerge::sandbox
