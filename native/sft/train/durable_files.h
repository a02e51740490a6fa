#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace branchmerge::sft {

/// Makes the names in a directory survive a crash of the machine: ERR_OUTPUT_WRITE.
void sync_directory(const std::string& directory);

/// The names in a directory. ERR_FILE_READ: one that cannot be read is not an empty one.
std::vector<std::string> list_names(const std::string& directory);

/// Makes a directory and those above it that are missing: ERR_OUTPUT_WRITE, ERR_DISK_FULL.
void make_directories(const std::string& directory);

/// Moves a file or directory to a name that is free or that of a file, which it replaces: ERR_OUTPUT_WRITE.
void rename_path(const std::string& from, const std::string& to);

/// Removes a file, or a directory with all in it; nothing there is fine. ERR_OUTPUT_WRITE.
void remove_path(const std::string& path);

/// Writes a whole file beside its name and moves it there, so that readers see the old content or the new
/// one. With `sync` the new one survives a crash of the machine. ERR_OUTPUT_WRITE, ERR_DISK_FULL.
void replace_file(const std::string& path, std::string_view content, bool sync);

}  // namespace branchmerge::sft
