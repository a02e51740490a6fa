#include "sandbox/system_calls.h"

#include <sys/syscall.h>

#include <array>

namespace branchmerge::sandbox {
namespace {

constexpr std::array kCallsOfProgram = std::to_array<long>({
    // memory
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_madvise,
    SYS_mincore,
    SYS_msync,
    SYS_membarrier,
    SYS_get_mempolicy,
    // threads
    SYS_futex,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_sched_yield,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_sched_get_priority_max,
    SYS_sched_get_priority_min,
    SYS_getcpu,
    SYS_exit,
    SYS_exit_group,
    SYS_restart_syscall,
    // open files
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_preadv2,
    SYS_pwritev2,
    SYS_lseek,
    SYS_close,
    SYS_fstat,
    SYS_fstatfs,
    SYS_fsync,
    SYS_fdatasync,
    SYS_ftruncate,
    SYS_flock,
    SYS_dup,
    SYS_dup3,
    SYS_pipe2,
    SYS_sendfile,
    SYS_copy_file_range,
    SYS_fadvise64,
    SYS_getdents64,
    SYS_fchdir,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    SYS_signalfd4,
    SYS_pselect6,
    SYS_ppoll,
    // paths, as far as Landlock and the tree let them
    SYS_openat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_readlinkat,
    SYS_faccessat,
    SYS_getcwd,
    SYS_chdir,
    SYS_mkdirat,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_umask,
    // signals to itself, time
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigtimedwait,
    SYS_rt_sigsuspend,
    SYS_sigaltstack,
    SYS_getitimer,
    SYS_setitimer,
    SYS_timer_create,
    SYS_timer_settime,
    SYS_timer_gettime,
    SYS_timer_getoverrun,
    SYS_timer_delete,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_times,
    // what it is told of itself and the machine
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getpgid,
    SYS_getsid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getgroups,
    SYS_getrusage,
    SYS_getpriority,
    SYS_capget,
    SYS_uname,
    SYS_sysinfo,
    SYS_getrandom,
    SYS_wait4,
    SYS_waitid,
#ifdef SYS_faccessat2
    SYS_faccessat2,
#endif
#ifdef SYS_close_range
    SYS_close_range,
#endif
#ifdef SYS_epoll_pwait2
    SYS_epoll_pwait2,
#endif
#ifdef SYS_futex_waitv
    SYS_futex_waitv,
#endif
#ifdef __x86_64__
    // older names of the same
    SYS_arch_prctl,
    SYS_open,
    SYS_creat,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_mkdir,
    SYS_rmdir,
    SYS_unlink,
    SYS_rename,
    SYS_getdents,
    SYS_dup2,
    SYS_pipe,
    SYS_poll,
    SYS_select,
    SYS_epoll_create,
    SYS_epoll_wait,
    SYS_eventfd,
    SYS_signalfd,
    SYS_alarm,
    SYS_pause,
    SYS_time,
    SYS_getpgrp,
    SYS_getrlimit,
    SYS_setrlimit,
    SYS_renameat,
#endif
});

constexpr std::array kCallsOfInterpreter = std::to_array<long>({
    SYS_execve,
    SYS_kill,
    SYS_tgkill,
    SYS_prlimit64,
    SYS_prctl,
    SYS_seccomp,
    SYS_fcntl,
    SYS_ioctl,
    SYS_memfd_create,
    SYS_sched_getaffinity,
#ifdef __x86_64__
    SYS_fork,
    SYS_vfork,
#endif
});

}  // namespace

std::span<const long> calls_of_program() { return kCallsOfProgram; }
std::span<const long> calls_of_interpreter() { return kCallsOfInterpreter; }

}  // namespace branchmerge::sandbox
