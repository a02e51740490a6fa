#include "sandbox/options.h"

#include <charconv>

#include "sandbox/failure.h"

namespace branchmerge::sandbox {

const char* const kUsage =
    "Usage: branchmerge-sandbox --python PATH [--readable PATH ...] [--user-id N] [--minimum-level N]\n"
    "Runs Python programs that nobody trusts: requests on descriptor 0, replies on 1, what it reached on 3.\n"
    "branchmerge starts it: see docs/evaluate-sandbox.md.\n"
    "  --python PATH      the interpreter\n"
    "  --readable PATH    a file or directory that the interpreter needs; nothing else can be read\n"
    "  --user-id N        whom programs run as where root starts it (60000)\n"
    "  --minimum-level N  3: namespaces, Landlock and seccomp; 2: seccomp, and Landlock or namespaces; 1: "
    "seccomp\n"
    "                     and limits; 0: nothing. Below it, nothing is started (2)\n"
    "  --help             print this\n";

namespace {

uint32_t parse_number(const std::string& name, const std::string& text, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    throw Failure("Expected an integer from " + std::to_string(least) + " to " + std::to_string(most) +
                  " for " + name + " but received " + text);
  }
  return value;
}

const std::string& absolute(const std::string& name, const std::string& text) {
  if (!text.starts_with('/'))
    throw Failure("Expected an absolute path for " + name + " but received " + text);
  return text;
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  constexpr uint32_t kLargestId = 2'000'000'000;
  Options options;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    if (name != "--python" && name != "--readable" && name != "--user-id" && name != "--minimum-level") {
      throw Failure("Unknown argument " + name);
    }
    if (i + 1 == arguments.size()) throw Failure("Expected a value for " + name);
    const std::string& value = arguments[i + 1];
    if (name == "--python") {
      options.python = absolute(name, value);
    } else if (name == "--readable") {
      options.readable.push_back(absolute(name, value));
    } else if (name == "--user-id") {
      options.user_id = parse_number(name, value, 1, kLargestId);
    } else {
      options.minimum_level = int(parse_number(name, value, 0, 3));
    }
  }
  if (options.python.empty()) throw Failure("Expected --python");
  return options;
}

}  // namespace branchmerge::sandbox
