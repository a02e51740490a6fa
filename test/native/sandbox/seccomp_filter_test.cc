#include "sandbox/seccomp_filter.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "sandbox/failure.h"
#include "sandbox/options.h"

using branchmerge::sandbox::build_filter;
using branchmerge::sandbox::Failure;
using branchmerge::sandbox::FilterFor;
using branchmerge::sandbox::kOwnProcess;
using branchmerge::sandbox::parse_options;
using branchmerge::sandbox::to_hexadecimal;

namespace {

#ifdef __x86_64__
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif
constexpr uint32_t kAllowed = SECCOMP_RET_ALLOW;
constexpr uint32_t kRefused = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;

/// Carries out a filter as the kernel does, by the definition of its few instructions.
uint32_t answer(const std::vector<sock_filter>& filter, const seccomp_data& data) {
  uint32_t accumulator = 0;
  for (size_t at = 0; at < filter.size(); ++at) {
    const auto [code, if_true, if_false, value] = filter[at];
    switch (code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + value, sizeof accumulator);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += accumulator == value ? if_true : if_false;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += accumulator >= value ? if_true : if_false;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        at += (accumulator & value) != 0 ? if_true : if_false;
        break;
      case BPF_RET | BPF_K:
        return value;
      default:
        FAIL("instruction " << code);
    }
  }
  FAIL("the filter ends without an answer");
  return 0;
}

uint32_t of_program(long call, uint64_t first = 0, uint64_t second = 0,
                    uint32_t architecture = kArchitecture) {
  static const std::vector<sock_filter> filter = build_filter(FilterFor::kProgram);
  return answer(filter, {int(call), architecture, 0, {first, second, 0, 0, 0, 0}});
}

uint32_t of_interpreter(long call, uint64_t first = 0) {
  static const std::vector<sock_filter> filter = build_filter(FilterFor::kInterpreter);
  return answer(filter, {int(call), kArchitecture, 0, {first, 0, 0, 0, 0, 0}});
}

}  // namespace

TEST_CASE("a program reads, writes and computes") {
  for (const long call :
       {SYS_read, SYS_write, SYS_openat, SYS_mmap, SYS_futex, SYS_exit_group, SYS_clock_gettime}) {
    CHECK(of_program(call) == kAllowed);
  }
}

TEST_CASE("a program starts threads, and no processes") {
  CHECK(of_program(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND) == kAllowed);
  CHECK(of_program(SYS_clone, SIGCHLD) == kRefused);
  CHECK(of_program(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD) == kRefused);
  CHECK(of_program(435) == kUnknown);
  for (const unsigned long space : {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
                                    CLONE_NEWPID, CLONE_NEWNET}) {
    CHECK(of_program(SYS_clone, space | CLONE_THREAD) == kRefused);
    CHECK(of_interpreter(SYS_clone, space | SIGCHLD) == kRefused);
  }
  CHECK(of_interpreter(SYS_clone, SIGCHLD) == kAllowed);
  CHECK(of_program(SYS_execve) == kRefused);
  CHECK(of_program(SYS_execveat) == kRefused);
}

TEST_CASE("a program signals itself alone") {
  for (const long call : {SYS_kill, SYS_tgkill}) {
    CHECK(of_program(call, kOwnProcess) == kAllowed);
    for (const uint64_t other : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, uint64_t{4711}})
      CHECK(of_program(call, other) == kRefused);
  }
  for (const long call : {SYS_tkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo})
    CHECK(of_program(call, kOwnProcess) == kRefused);
  CHECK(of_program(SYS_fcntl, 0, F_GETFL) == kAllowed);
  for (const uint64_t command : {F_SETOWN, F_SETSIG, 15, F_SETLEASE, F_NOTIFY})
    CHECK(of_program(SYS_fcntl, 0, command) == kRefused);
}

TEST_CASE("a program changes limits of itself alone, and what protects others not at all") {
  CHECK(of_program(SYS_prlimit64, 0) == kAllowed);
  CHECK(of_program(SYS_prlimit64, kOwnProcess) == kAllowed);
  CHECK(of_program(SYS_prlimit64, 1) == kRefused);
  for (const uint64_t option : {PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER}) {
    CHECK(of_program(SYS_prctl, option) == kRefused);
  }
}

TEST_CASE("a program has none of what reaches beyond it") {
  for (const long call : {SYS_socket,
                          SYS_socketpair,
                          SYS_connect,
                          SYS_ptrace,
                          SYS_process_vm_readv,
                          SYS_process_vm_writev,
                          SYS_mount,
                          SYS_umount2,
                          SYS_pivot_root,
                          SYS_chroot,
                          SYS_unshare,
                          SYS_setns,
                          SYS_bpf,
                          SYS_keyctl,
                          SYS_add_key,
                          SYS_request_key,
                          SYS_perf_event_open,
                          SYS_userfaultfd,
                          SYS_init_module,
                          SYS_finit_module,
                          SYS_kexec_load,
                          SYS_reboot,
                          SYS_swapon,
                          SYS_clock_settime,
                          SYS_settimeofday,
                          SYS_mknodat,
                          SYS_fchmod,
                          SYS_fchmodat,
                          SYS_fchownat,
                          SYS_utimensat,
                          SYS_setxattr,
                          SYS_truncate,
                          SYS_linkat,
                          SYS_symlinkat,
                          SYS_open_by_handle_at,
                          SYS_personality,
                          SYS_memfd_create,
                          SYS_shmget,
                          SYS_msgget,
                          SYS_semget,
                          SYS_mq_open,
                          SYS_setsid,
                          SYS_setpgid,
                          SYS_setuid,
                          SYS_setgid,
                          SYS_setgroups,
                          SYS_capset,
                          SYS_setpriority,
                          SYS_sched_setaffinity,
                          SYS_sched_setscheduler,
                          SYS_ioprio_set,
                          SYS_inotify_init1,
                          SYS_fanotify_init,
                          SYS_seccomp,
                          SYS_mlock,
                          SYS_mlockall,
                          SYS_sync,
                          SYS_syncfs,
                          SYS_quotactl,
                          SYS_acct,
                          SYS_syslog,
                          SYS_vhangup,
                          SYS_kcmp,
                          SYS_process_madvise,
                          424 /* pidfd_send_signal */,
                          425 /* io_uring */,
                          434 /* pidfd_open */,
                          438 /* pidfd_getfd */,
                          444 /* landlock */}) {
    CAPTURE(call);
    CHECK(of_program(call) == kRefused);
  }
}

TEST_CASE("calls of another architecture kill, and calls of a later kernel are unknown") {
  CHECK(of_program(SYS_read, 0, 0, AUDIT_ARCH_I386) == SECCOMP_RET_KILL_PROCESS);
#ifdef __x86_64__
  CHECK(of_program(SYS_read | 0x40000000) == SECCOMP_RET_KILL_PROCESS);
#endif
  CHECK(of_program(460) == kUnknown);
  CHECK(of_program(100000) == kUnknown);
}

TEST_CASE("the interpreter may do what it does for programs, and nothing of the network") {
  for (const long call : {SYS_kill, SYS_memfd_create, SYS_wait4, SYS_execve})
    CHECK(of_interpreter(call, 4711) == kAllowed);
  for (const long call : {SYS_socket, SYS_ptrace, SYS_mount, SYS_unshare})
    CHECK(of_interpreter(call) == kRefused);
}

TEST_CASE("a filter is written as its bytes") {
  CHECK(to_hexadecimal({{0x06, 1, 2, 0x7fff0000}}) ==
        "0600010200"
        "00ff7f");
}

TEST_CASE("arguments") {
  const auto options = parse_options(
      {"--python", "/usr/bin/python3", "--readable", "/a", "--readable", "/b", "--minimum-level", "3"});
  CHECK(options.python == "/usr/bin/python3");
  CHECK(options.readable == std::vector<std::string>{"/a", "/b"});
  CHECK(options.minimum_level == 3);
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{},
                                             {"--python"},
                                             {"--python", "python3"},
                                             {"--python", "/p", "--minimum-level", "4"},
                                             {"--python", "/p", "--user-id", "0"},
                                             {"--python", "/p", "--user-id", "12x"},
                                             {"--python", "/p", "--other", "1"}}) {
    CHECK_THROWS_AS(parse_options(wrong), Failure);
  }
}
