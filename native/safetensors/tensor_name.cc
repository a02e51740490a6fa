#include "safetensors/tensor_name.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "safetensors/json.h"

namespace branchmerge {
namespace {

// Names are module paths; the longest published ones have about 150 bytes. The bound keeps messages, indexes
// and reports readable whatever a file says.
constexpr size_t kMaxNameBytes = 1024;

bool leaves_folder(std::string_view name) {
  const auto is_separator = [](char character) { return character == '/' || character == '\\'; };
  if (is_separator(name.front())) return true;
  if (name.size() > 2 && name[1] == ':' && is_separator(name[2])) return true;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    if (name.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

/// What a name should have been, or nothing where it is good.
std::optional<std::string> expected_instead_of(std::string_view name) {
  if (name.empty()) return "a name that is not empty";
  if (name.size() > kMaxNameBytes) return "a name of at most " + std::to_string(kMaxNameBytes) + " bytes";
  if (has_control_character(name)) return "a name without control characters";
  if (leaves_folder(name)) return "a name that is not a path to another folder";
  return std::nullopt;
}

}  // namespace

void check_tensor_name(std::string_view file, std::string_view name) {
  const auto expected = expected_instead_of(name);
  if (!expected) return;
  throw Error("ERR_TENSOR_NAME", std::string(file) + ": expected each tensor to have " + *expected +
                                     " but received " + quote_for_message(name));
}

bool has_control_character(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < 0x20 || byte == 0x7F) return true;
    // U+0080 to U+009F in UTF-8.
    if (byte == 0xC2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

}  // namespace branchmerge
