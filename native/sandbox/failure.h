#pragma once
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace branchmerge::sandbox {

/// Why a sandbox cannot be had; `what()` is for people.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The failure of a system call, by errno.
inline Failure failed(const std::string& action) { return Failure(action + ": " + std::strerror(errno)); }

inline void require(bool succeeded, const std::string& action) {
  if (!succeeded) throw failed(action);
}

}  // namespace branchmerge::sandbox
