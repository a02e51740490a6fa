#include "sandbox/interpreter.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "sandbox/descriptors.h"
#include "sandbox/failure.h"
#include "sandbox/file_tree.h"
#include "sandbox/landlock.h"
#include "sandbox/limits.h"
#include "sandbox/seccomp_filter.h"
#include "sandbox/zygote.h"

namespace branchmerge::sandbox {
namespace {

constexpr int kProgress = 3;

/// Leaves 0 to 2 and the progress, which exec closes.
void keep_descriptors(int progress) {
  if (progress != kProgress) {
    require(::dup3(progress, kProgress, O_CLOEXEC) == kProgress, "dup3");
  } else {
    require(::fcntl(progress, F_SETFD, FD_CLOEXEC) == 0, "fcntl");
  }
  close_descriptors_from(kProgress + 1);
}

/// Before Linux 5.14 a user's processes outside a user namespace count inside it, too.
bool counts_processes_by_namespace() {
  utsname system;
  int major = 0, minor = 0;
  return ::uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
         (major > 5 || (major == 5 && minor >= 14));
}

void report(Progress progress, const std::string& text) { report_progress(kProgress, progress, text); }

}  // namespace

void become_interpreter(const Options& options, bool namespaces, std::vector<std::string> notes,
                        unsigned user_id, int progress) {
  try {
    keep_descriptors(progress);
    ::umask(077);
    // A user of its own, or one whose processes are counted apart.
    set_limits(thread_limit(user_id != options.user_id && !(namespaces && counts_processes_by_namespace())));
    require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    Status status{namespaces, landlock_version(), false, user_id, std::move(notes)};
    if (status.landlock == 0) status.notes.emplace_back("Landlock: " + std::string(std::strerror(errno)));
    if (status.landlock > 0) {
      std::vector<std::string> readable = library_paths();
      readable.insert(readable.end(), options.readable.begin(), options.readable.end());
      readable.push_back(options.python);
      restrict_with_landlock(status.landlock, readable, namespaces ? kScratch : "");
    }
    if (!namespaces) require(::chdir("/") == 0, "entering /");
    status.seccomp = install_filter(build_filter(FilterFor::kInterpreter));
    if (!status.seccomp) status.notes.emplace_back("seccomp: " + std::string(std::strerror(errno)));
    if (status.level() < options.minimum_level) {
      report(Progress::kLevel, status.json());
      ::_exit(1);
    }
    report(Progress::kStarting, status.json());

    const std::string level = std::to_string(status.level());
    const std::string filter = status.seccomp ? to_hexadecimal(build_filter(FilterFor::kProgram)) : "";
    const std::string scratch = namespaces ? kScratch : "";
    const std::array<const char*, 9> arguments{
        options.python.c_str(), "-s",   "-B", "-c", kZygote, level.c_str(), filter.c_str(),
        scratch.c_str(),        nullptr};
    const std::string home = "HOME=" + (namespaces ? std::string(kScratch) : "/");
    // Every program sees the same order of sets. Libraries of arithmetic start no threads.
    const std::array<const char*, 11> environment{"PATH=/usr/bin:/bin",
                                                  "LANG=C.UTF-8",
                                                  home.c_str(),
                                                  "PYTHONHASHSEED=0",
                                                  "PYTHONDONTWRITEBYTECODE=1",
                                                  "TZ=UTC",
                                                  "OMP_NUM_THREADS=1",
                                                  "OPENBLAS_NUM_THREADS=1",
                                                  "MKL_NUM_THREADS=1",
                                                  "PYTHONUTF8=1",
                                                  nullptr};
    ::execve(options.python.c_str(), const_cast<char* const*>(arguments.data()),
             const_cast<char* const*>(environment.data()));
    report(Progress::kPython, options.python + ": " + std::strerror(errno));
  } catch (const Failure& failure) {
    report(Progress::kFailure, failure.what());
  }
  ::_exit(1);
}

}  // namespace branchmerge::sandbox
