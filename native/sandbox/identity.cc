#include "sandbox/identity.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>

#include "sandbox/failure.h"

namespace branchmerge::sandbox {
namespace {

/// Whether root here is root of the machine: the map of ids is the one that all of them are in.
bool is_root_of_machine() {
  FILE* map = std::fopen("/proc/self/uid_map", "re");
  if (map == nullptr) return true;
  unsigned inside = 1, outside = 1, count = 0;
  const bool whole =
      std::fscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 && outside == 0;
  std::fclose(map);
  return whole;
}

void drop_capabilities() {
  // Fails at the first number that this kernel does not know.
  for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  require(::syscall(SYS_capset, &header, none.data()) == 0, "capset");
}

}  // namespace

void drop_identity(uid_t id) {
  if (::geteuid() == 0) {
    // The bounding set can be changed only before the id is.
    for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
      ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
    const bool dropped =
        ::setgroups(0, nullptr) == 0 && ::setresgid(id, id, id) == 0 && ::setresuid(id, id, id) == 0;
    if (!dropped && is_root_of_machine()) throw failed("becoming the user " + std::to_string(id));
  }
  drop_capabilities();
}

void die_with(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);
}

}  // namespace branchmerge::sandbox
