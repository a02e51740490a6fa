#pragma once
#include <span>

namespace branchmerge::sandbox {

/// System calls that a program may make whatever their arguments are. seccomp_filter.cc adds those whose
/// arguments matter.
std::span<const long> calls_of_program();

/// What the interpreter that starts programs may call beside them.
std::span<const long> calls_of_interpreter();

}  // namespace branchmerge::sandbox
