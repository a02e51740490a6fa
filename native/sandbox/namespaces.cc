#include "sandbox/namespaces.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "sandbox/failure.h"

namespace branchmerge::sandbox {
namespace {

void write_file(const char* path, const std::string& text) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  require(file >= 0, std::string("opening ") + path);
  const bool written = ::write(file, text.data(), text.size()) == ssize_t(text.size());
  const int error = errno;
  ::close(file);
  errno = error;
  require(written, std::string("writing ") + path);
}

}  // namespace

pid_t fork_into_namespaces(bool with_users) {
  unsigned long flags =
      CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  if (with_users) flags |= CLONE_NEWUSER;
  return pid_t(::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

void map_user(uid_t user, gid_t group) {
  const std::string users = std::to_string(user) + " " + std::to_string(user) + " 1";
  const std::string groups = std::to_string(group) + " " + std::to_string(group) + " 1";
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", users);
  write_file("/proc/self/gid_map", groups);
}

void hide_host_name() {
  constexpr const char kName[] = "sandbox";
  require(::sethostname(kName, sizeof kName - 1) == 0, "sethostname");
}

}  // namespace branchmerge::sandbox
