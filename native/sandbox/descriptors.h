#pragma once
#include <string>

namespace branchmerge::sandbox {

/// Writes all of it, or as much as there is somebody to read.
void write_all(int descriptor, const std::string& text);

std::string read_to_end(int descriptor);

/// Closes this descriptor and all above.
void close_descriptors_from(int first);

}  // namespace branchmerge::sandbox
