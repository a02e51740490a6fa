// without FEATURE ... -- COMMAND ...: runs a command where the kernel, as containers and old systems have it,
// lacks features.
//
//   namespaces  as Docker's default: no unshare, setns, mount, pivot_root, or clone into namespaces
//   mounts      as AppArmor on Ubuntu: a user namespace can be had, and nothing mounted in it
//   landlock    as before Linux 5.13
//   seccomp     as built without it
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace {

class Filter {
 public:
  Filter() { load(offsetof(seccomp_data, nr)); }
  void refuse(long call, int error) {
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, unsigned(call));
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | unsigned(error));
  }
  void refuse_if(long call, unsigned short comparison, unsigned value, int error) {
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, unsigned(call));
    load(offsetof(seccomp_data, args));
    add(static_cast<unsigned short>(BPF_JMP | comparison | BPF_K), 0, 1, value);
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | unsigned(error));
    load(offsetof(seccomp_data, nr));
  }
  bool install() {
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    sock_fprog program{static_cast<unsigned short>(instructions_.size()), instructions_.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
  }

 private:
  void load(size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, 0, 0, unsigned(offset)); }
  void add(unsigned short code, unsigned char if_true, unsigned char if_false, unsigned value) {
    instructions_.push_back({code, if_true, if_false, value});
  }
  std::vector<sock_filter> instructions_;
};

bool take_away(Filter& filter, const std::string& feature) {
  if (feature == "namespaces") {
    for (const long call : {SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root})
      filter.refuse(call, EPERM);
    filter.refuse(435, ENOSYS);  // clone3
    filter.refuse_if(SYS_clone, BPF_JSET,
                     CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                         CLONE_NEWPID | CLONE_NEWNET,
                     EPERM);
  } else if (feature == "mounts") {
    filter.refuse(SYS_mount, EACCES);
  } else if (feature == "landlock") {
    filter.refuse(444, ENOSYS);
  } else if (feature == "seccomp") {
    filter.refuse_if(SYS_prctl, BPF_JEQ, PR_SET_SECCOMP, EINVAL);
    filter.refuse(SYS_seccomp, ENOSYS);
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Filter filter;
  int command = 1;
  for (; command < argc && argv[command] != std::string("--"); ++command) {
    if (!take_away(filter, argv[command])) {
      std::fprintf(stderr, "Unknown feature %s\n", argv[command]);
      return 2;
    }
  }
  if (command + 1 >= argc || !filter.install()) {
    std::perror("without");
    return 2;
  }
  ::execvp(argv[command + 1], argv + command + 1);
  std::perror(argv[command + 1]);
  return 1;
}
