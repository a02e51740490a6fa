#pragma once
#include "sandbox/options.h"
#include "sandbox/status.h"

namespace branchmerge::sandbox {

/// Confines this process and becomes the interpreter that runs zygote.py: limits, Landlock, seccomp. Tells
/// `progress` what was reached or why it ended; never returns.
///
/// @param namespaces whether this process is in namespaces and a file tree of its own
/// @param notes why it is not
/// @param user_id whom it runs as, as seen from outside
/// @param progress a descriptor that closes when the interpreter is there
[[noreturn]] void become_interpreter(const Options& options, bool namespaces, std::vector<std::string> notes,
                                     unsigned user_id, int progress);

}  // namespace branchmerge::sandbox
