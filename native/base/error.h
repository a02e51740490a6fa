#pragma once
#include <stdexcept>
#include <string>

namespace branchmerge {

/// What native code throws. `code` is a stable string literal (ERR_…) that reaches JavaScript as
/// `error.code`; the message names file, tensor and value, and says what to do. Every code is listed
/// in docs/errors.md and lib/errors.ts.
struct Error : std::runtime_error {
  const char* code;
  Error(const char* error_code, const std::string& message) : std::runtime_error(message), code(error_code) {}
};

}  // namespace branchmerge
