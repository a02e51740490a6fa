#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace branchmerge::sandbox {

/// What the command line asks for.
struct Options {
  std::string python;                 ///< the interpreter's absolute path
  std::vector<std::string> readable;  ///< absolute paths of files and directories that the interpreter needs
  uint32_t user_id = 60000;           ///< whom programs run as where the sandbox is started by root
  int minimum_level = 2;              ///< 0 to 3: below it nothing is started
};

/// Throws Failure, which names the argument.
Options parse_options(const std::vector<std::string>& arguments);

/// What --help prints.
extern const char* const kUsage;

}  // namespace branchmerge::sandbox
