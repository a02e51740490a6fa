#include "sandbox/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "sandbox/failure.h"

// The kernel's interface, as of version 7: headers of the system may be older than its kernel.
namespace branchmerge::sandbox {
namespace {

constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr unsigned kAskVersion = 1, kRulePathBeneath = 1;

constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDirectory = 1 << 3;
constexpr uint64_t kTruncate = 1 << 14;
// execute … make_sym; then refer (2), truncate (3), ioctl on devices (5).
constexpr std::array<uint64_t, 6> kFileRights{0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};
constexpr uint64_t kTcpRights = 3;    // bind, connect: from version 4
constexpr uint64_t kScopeRights = 3;  // abstract sockets, signals: from version 6
constexpr uint64_t kScratchRights =
    0x7fff & ~kExecute & ~uint64_t{1 << 6 | 1 << 9 | 1 << 10 | 1 << 11};  // no devices, sockets

struct RulesetAttributes {
  uint64_t files, network, scoped;
};

struct __attribute__((packed)) PathAttributes {
  uint64_t allowed;
  int32_t parent;
};

void allow(int ruleset, const std::string& path, uint64_t rights, uint64_t handled) {
  const int descriptor = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (descriptor < 0 && (errno == ENOENT || errno == EACCES || errno == ENOTDIR)) return;
  require(descriptor >= 0, "opening " + path);
  struct stat status;
  require(::fstat(descriptor, &status) == 0, "looking at " + path);
  constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate;
  PathAttributes attributes{rights & handled, descriptor};
  if (!S_ISDIR(status.st_mode)) attributes.allowed &= kOfFiles;
  const bool added = ::syscall(kAddRule, ruleset, kRulePathBeneath, &attributes, 0) == 0;
  const int error = errno;
  ::close(descriptor);
  errno = error;
  require(added, "Landlock's rule for " + path);
}

}  // namespace

int landlock_version() {
  const long version = ::syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  return version > 0 ? int(version) : 0;
}

void restrict_with_landlock(int version, const std::vector<std::string>& readable,
                            const std::string& scratch) {
  RulesetAttributes attributes{};
  attributes.files = kFileRights[std::min(size_t(version), kFileRights.size() - 1)];
  if (version >= 4) attributes.network = kTcpRights;
  if (version >= 6) attributes.scoped = kScopeRights;
  const size_t size = version >= 6   ? sizeof attributes
                      : version >= 4 ? 2 * sizeof(uint64_t)
                                     : sizeof(uint64_t);
  const int ruleset = int(::syscall(kCreateRuleset, &attributes, size, 0));
  require(ruleset >= 0, "Landlock's set of rules");
  for (const std::string& path : readable) {
    allow(ruleset, path, kReadFile | kReadDirectory | kExecute, attributes.files);
  }
  for (const char* device : {"/dev/zero", "/dev/urandom", "/dev/random"}) {
    allow(ruleset, device, kReadFile, attributes.files);
  }
  allow(ruleset, "/dev/null", kReadFile | kWriteFile | kTruncate, attributes.files);
  if (!scratch.empty()) allow(ruleset, scratch, kScratchRights, attributes.files);
  require(::syscall(kRestrictSelf, ruleset, 0) == 0, "Landlock");
  ::close(ruleset);
}

}  // namespace branchmerge::sandbox
