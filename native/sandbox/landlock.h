#pragma once
#include <string>
#include <vector>

namespace branchmerge::sandbox {

/// The version of Landlock that the kernel has; 0 where it has none, or none is allowed.
int landlock_version();

/// Takes every right that this version knows away from this process and what it starts: files, TCP, signals
/// and abstract sockets of others. What is left is reading (and running) `readable`, the three devices that
/// say nothing, and `scratch`. Paths that do not exist are passed over. Throws Failure.
///
/// @param scratch a directory to write in; empty for none
void restrict_with_landlock(int version, const std::vector<std::string>& readable,
                            const std::string& scratch);

}  // namespace branchmerge::sandbox
