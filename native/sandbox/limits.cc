#include "sandbox/limits.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "sandbox/failure.h"

namespace branchmerge::sandbox {
namespace {

constexpr rlim_t kThreads = 64;
// For what else the user starts while the sandbox is at work.
constexpr rlim_t kOthersToCome = 512;
constexpr rlim_t kDescriptors = 256;
// Python before 3.11 recurses on the stack, and so do sorted() and functools.cache with later ones.
constexpr rlim_t kStackBytes = rlim_t{1} << 30;

void limit(int resource, rlim_t soft, bool lowers_hard, const char* name) {
  rlimit limits{};
  require(::getrlimit(static_cast<__rlimit_resource>(resource), &limits) == 0, name);
  limits.rlim_cur = std::min(soft, limits.rlim_max);
  if (lowers_hard) limits.rlim_max = limits.rlim_cur;
  require(::setrlimit(static_cast<__rlimit_resource>(resource), &limits) == 0, name);
}

rlim_t threads_of(const std::string& directory) {
  FILE* status = std::fopen((directory + "/status").c_str(), "re");
  if (status == nullptr) return 0;
  char line[256];
  unsigned long threads = 0;
  while (std::fgets(line, sizeof line, status) != nullptr) {
    if (std::sscanf(line, "Threads: %lu", &threads) == 1) break;
  }
  std::fclose(status);
  return threads;
}

/// Threads of all processes of this user.
rlim_t threads_of_user() {
  DIR* processes = ::opendir("/proc");
  if (processes == nullptr) return 0;
  rlim_t threads = 0;
  while (const dirent* entry = ::readdir(processes)) {
    if (std::strspn(entry->d_name, "0123456789") != std::strlen(entry->d_name)) continue;
    const std::string directory = std::string("/proc/") + entry->d_name;
    struct stat status;
    if (::stat(directory.c_str(), &status) == 0 && status.st_uid == ::getuid())
      threads += threads_of(directory);
  }
  ::closedir(processes);
  return threads;
}

}  // namespace

rlim_t thread_limit(bool counts_others) {
  return counts_others ? threads_of_user() + kOthersToCome + kThreads : kThreads;
}

void set_limits(rlim_t threads) {
  limit(RLIMIT_CORE, 0, true, "limiting core dumps");
  limit(RLIMIT_NOFILE, kDescriptors, true, "limiting descriptors");
  limit(RLIMIT_NPROC, threads, true, "limiting processes");
  limit(RLIMIT_MEMLOCK, 0, true, "limiting locked memory");
  limit(RLIMIT_MSGQUEUE, 0, true, "limiting message queues");
  // The hard limit stays, for programs that raise the soft one themselves.
  limit(RLIMIT_STACK, kStackBytes, false, "limiting the stack");
}

}  // namespace branchmerge::sandbox
