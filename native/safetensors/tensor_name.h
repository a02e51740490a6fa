#pragma once
#include <string_view>

namespace branchmerge {

/// Refuses with ERR_TENSOR_NAME a name that is empty, longer than 1024 bytes, holds control characters, or
/// would be a path out of its folder for software that makes files of names. `file` is used in the message
/// only.
void check_tensor_name(std::string_view file, std::string_view name);

/// Whether UTF-8 text holds a control character: U+0000 to U+001F or U+007F to U+009F.
bool has_control_character(std::string_view text);

}  // namespace branchmerge
