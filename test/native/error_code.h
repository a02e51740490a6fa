#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace branchmerge {

/// The code of the Error that `call` throws, or "" when it throws none.
template <typename Call>
std::string error_code(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code;
  }
  return "";
}

/// The message of the Error that `call` throws, or "" when it throws none.
template <typename Call>
std::string error_message(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace branchmerge
