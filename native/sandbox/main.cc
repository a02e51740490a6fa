// branchmerge-sandbox: see docs/evaluate-sandbox.md.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "sandbox/descriptors.h"
#include "sandbox/failure.h"
#include "sandbox/options.h"
#include "sandbox/status.h"
#include "sandbox/supervisor.h"

namespace {

constexpr int kStatus = 3;
constexpr int kExitFailure = 1, kExitUsage = 2;

/// When memory is short, the kernel ends what runs in a sandbox before the process that started it.
void go_first_when_memory_is_short() {
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  branchmerge::sandbox::write_all(file, "500");
  ::close(file);
}

}  // namespace

int main(int argc, char** argv) {
  using branchmerge::sandbox::Options;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 1 && arguments[0] == "--help") {
    std::fputs(branchmerge::sandbox::kUsage, stdout);
    return 0;
  }
  Options options;
  try {
    options = branchmerge::sandbox::parse_options(arguments);
  } catch (const branchmerge::sandbox::Failure& failure) {
    std::fprintf(stderr, "%s\n%s", failure.what(), branchmerge::sandbox::kUsage);
    return kExitUsage;
  }
  if (::fcntl(kStatus, F_SETFD, FD_CLOEXEC) != 0) {
    std::fputs("Expected descriptor 3 to be open, for the status\n", stderr);
    return kExitUsage;
  }
  try {
    go_first_when_memory_is_short();
    return branchmerge::sandbox::supervise(options, kStatus);
  } catch (const std::exception& error) {
    branchmerge::sandbox::write_all(kStatus,
                                    branchmerge::sandbox::failure_json("setup", error.what()) + "\n");
    return kExitFailure;
  }
}
