#include "sandbox/seccomp_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "sandbox/system_calls.h"

namespace branchmerge::sandbox {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "The sandbox knows the system calls of x86-64 and of 64-bit ARM"
#endif

// Newer calls than those that were weighed here: the C library has another way when a kernel does not know
// them.
constexpr uint32_t kNewestKnownCall = 453;
constexpr uint32_t kClone3 = 435, kOpenat2 = 437;  // the same everywhere
constexpr uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                    0x80;  // 0x80: CLONE_NEWTIME
constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kKill = SECCOMP_RET_KILL_PROCESS;
constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;

class FilterBuilder {
 public:
  void load(size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, uint32_t(offset)); }
  void load_call() { load(offsetof(seccomp_data, nr)); }
  /// The low half: flags, commands and process ids are 32 bits wide.
  void load_argument(size_t index) { load(offsetof(seccomp_data, args) + 8 * index); }

  void answer(uint32_t result) { add(BPF_RET | BPF_K, result); }
  void answer_unless_equal(uint32_t value, uint32_t result) {
    instructions_.push_back({uint16_t(BPF_JMP | BPF_JEQ | BPF_K), 1, 0, value});
    answer(result);
  }
  void answer_if_equal(uint32_t value, uint32_t result) { answer_if(BPF_JEQ, value, result); }
  void answer_if_at_least(uint32_t value, uint32_t result) { answer_if(BPF_JGE, value, result); }
  void answer_if_any_bit(uint32_t bits, uint32_t result) { answer_if(BPF_JSET, bits, result); }

  /// What `rules` adds holds for one call, and answers it in any case.
  template <typename Rules>
  void for_call(long call, Rules rules) {
    const size_t jump = instructions_.size();
    add(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(call));
    rules();
    instructions_[jump].jf = uint8_t(instructions_.size() - jump - 1);
  }

  /// One argument may be one of these values.
  void allow_values(long call, size_t argument, std::initializer_list<uint32_t> values) {
    for_call(call, [&] {
      load_argument(argument);
      for (const uint32_t value : values) answer_if_equal(value, kAllow);
      answer(kRefuse);
    });
  }

  std::vector<sock_filter> take() { return std::move(instructions_); }

 private:
  void add(uint16_t code, uint32_t value) { instructions_.push_back({code, 0, 0, value}); }
  void answer_if(uint16_t comparison, uint32_t value, uint32_t result) {
    instructions_.push_back({uint16_t(BPF_JMP | comparison | BPF_K), 0, 1, value});
    answer(result);
  }
  std::vector<sock_filter> instructions_;
};

/// A pid of its own says a process either as 0 or by its number.
void allow_own_process(FilterBuilder& builder, long call) { builder.allow_values(call, 0, {0, kOwnProcess}); }

void add_rules_of_interpreter(FilterBuilder& builder) {
  builder.for_call(SYS_clone, [&] {
    builder.load_argument(0);
    builder.answer_if_any_bit(kNewNamespaces, kRefuse);
    builder.answer(kAllow);
  });
  for (const long call : calls_of_interpreter()) builder.answer_if_equal(uint32_t(call), kAllow);
}

void add_rules_of_program(FilterBuilder& builder) {
  builder.for_call(SYS_clone, [&] {
    builder.load_argument(0);
    builder.answer_if_any_bit(kNewNamespaces, kRefuse);
    builder.answer_if_any_bit(CLONE_THREAD, kAllow);
    builder.answer(kRefuse);
  });
  // 0 would be the whole process group.
  builder.allow_values(SYS_kill, 0, {kOwnProcess});
  builder.allow_values(SYS_tgkill, 0, {kOwnProcess});
  allow_own_process(builder, SYS_prlimit64);
  allow_own_process(builder, SYS_sched_getaffinity);
  builder.allow_values(SYS_prctl, 0,
                       {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_PDEATHSIG, PR_CAPBSET_READ,
                        0x53564d41});  // PR_SET_VMA: names of memory
  // No F_SETOWN, F_SETSIG, F_SETLEASE, F_NOTIFY: with them the kernel signals whom a program names.
  builder.allow_values(
      SYS_fcntl, 1,
      {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW});
  builder.allow_values(SYS_ioctl, 1, {TCGETS, TIOCGWINSZ, FIONREAD, FIOCLEX, FIONCLEX});
}

}  // namespace

std::vector<sock_filter> build_filter(FilterFor whom) {
  FilterBuilder builder;
  builder.load(offsetof(seccomp_data, arch));
  builder.answer_unless_equal(kArchitecture, kKill);
  builder.load_call();
#ifdef __x86_64__
  builder.answer_if_at_least(0x40000000, kKill);  // the calls of x32
#endif
  builder.answer_if_equal(kClone3,
                          kUnknown);  // its arguments lie in memory: clone instead, whose flags can be seen
  builder.answer_if_equal(kOpenat2, kUnknown);
  if (whom == FilterFor::kInterpreter) {
    add_rules_of_interpreter(builder);
  } else {
    add_rules_of_program(builder);
  }
  for (const long call : calls_of_program()) builder.answer_if_equal(uint32_t(call), kAllow);
  builder.answer_if_at_least(kNewestKnownCall + 1, kUnknown);
  builder.answer(kRefuse);
  return builder.take();
}

bool install_filter(const std::vector<sock_filter>& filter) {
  sock_fprog program{static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

std::string to_hexadecimal(const std::vector<sock_filter>& filter) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (const sock_filter& instruction : filter) {
    unsigned char bytes[sizeof instruction];
    std::memcpy(bytes, &instruction, sizeof instruction);
    for (const unsigned char byte : bytes) text.append({kDigits[byte >> 4], kDigits[byte & 15]});
  }
  return text;
}

}  // namespace branchmerge::sandbox
