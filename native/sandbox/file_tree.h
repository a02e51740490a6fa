#pragma once
#include <string>
#include <vector>

namespace branchmerge::sandbox {

/// Where a program may write in a tree of its own: memory, a little of it.
inline constexpr const char* kScratch = "/tmp";

/// Libraries of the system, and what the dynamic linker reads: what every interpreter needs.
std::vector<std::string> library_paths();

/// Makes a tree with `readable` in it, read-only, an empty /tmp and four devices, and leaves no way to
/// another. In a mount namespace of its own and with the right to mount. Throws Failure.
void enter_file_tree(const std::vector<std::string>& readable);

}  // namespace branchmerge::sandbox
