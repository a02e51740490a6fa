#pragma once
#include <sys/types.h>

namespace branchmerge::sandbox {

/// Gives up root and every capability for good. Where root is only the name of an ordinary user (a user
/// namespace that maps no other id), the id stays. Throws Failure where root cannot be given up.
void drop_identity(uid_t id);

/// Kills this process with its parent. Changes of identity undo it. Exits if the parent is gone already.
void die_with(pid_t parent);

}  // namespace branchmerge::sandbox
