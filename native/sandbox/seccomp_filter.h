#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

namespace branchmerge::sandbox {

/// Whom a filter is for. What is in neither list of system calls fails with EPERM, or with ENOSYS where the C
/// library then takes an older one.
enum class FilterFor {
  /// The interpreter that starts programs: it forks, signals its children and confines them.
  kInterpreter,
  /// A program: one process with threads. It starts no process and no other program, opens no socket, signals
  /// only itself,
  /// watches, traces and changes no other process, and changes no file's owner, mode or times.
  kProgram,
};

/// Stands in a program's filter where its process id goes.
inline constexpr uint32_t kOwnProcess = 0x50494421;

/// The filter as the kernel takes it, for this machine's architecture.
std::vector<sock_filter> build_filter(FilterFor whom);

/// Installs it for this process and what it starts, which needs no_new_privs. False, with errno, where the
/// kernel has none.
bool install_filter(const std::vector<sock_filter>& filter);

/// Each instruction as 16 hexadecimal digits of its bytes.
std::string to_hexadecimal(const std::vector<sock_filter>& filter);

}  // namespace branchmerge::sandbox
