// A library for LD_PRELOAD (test/support/faults.ts): system calls of a process of ours fail where the
// environment says, as they do on machines that a test cannot have.
//   FAULT_READ=TEXT          reading a file whose path has TEXT in it fails with EIO
//   FAULT_INTERRUPT=1        the first fallocate of a file is interrupted (EINTR)
//   FAULT_THREADS=N          the N threads that are started first run, and no others
//   FAULT_IO_URING=1         io_uring_enter is forbidden (EPERM)
//   FAULT_SYNC_LOG=PATH      every fdatasync appends the file's path there
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string path_of(int descriptor) {
  std::array<char, PATH_MAX> path;
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size < 0 ? std::string() : std::string(path.data(), size_t(size));
}

template <class Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

bool is_unreadable(int descriptor) {
  const char* const text = std::getenv("FAULT_READ");
  return text != nullptr && path_of(descriptor).find(text) != std::string::npos;
}

int fallocate_or_fail(int descriptor, int mode, off_t begin, off_t bytes) {
  static std::array<std::atomic<bool>, 4096> interrupted;
  if (std::getenv("FAULT_INTERRUPT") && size_t(descriptor) < interrupted.size() &&
      !interrupted[size_t(descriptor)].exchange(true)) {
    errno = EINTR;
    return -1;
  }
  return int(::syscall(SYS_fallocate, descriptor, mode, begin, bytes));
}

ssize_t pread_or_fail(int descriptor, void* bytes, size_t size, off_t begin) {
  if (is_unreadable(descriptor)) {
    errno = EIO;
    return -1;
  }
  return ::syscall(SYS_pread64, descriptor, bytes, size, begin);
}

}  // namespace

// The C library has other names for the parameters, and cannot be asked for ours.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" {

ssize_t pread(int descriptor, void* bytes, size_t size, off_t begin) {
  return pread_or_fail(descriptor, bytes, size, begin);
}
ssize_t pread64(int descriptor, void* bytes, size_t size, off_t begin) {
  return pread_or_fail(descriptor, bytes, size, begin);
}

int fallocate(int descriptor, int mode, off_t begin, off_t bytes) {
  return fallocate_or_fail(descriptor, mode, begin, bytes);
}
int fallocate64(int descriptor, int mode, off_t begin, off_t bytes) {
  return fallocate_or_fail(descriptor, mode, begin, bytes);
}

int fdatasync(int descriptor) {
  if (const char* const log = std::getenv("FAULT_SYNC_LOG")) {
    const std::string line = path_of(descriptor) + "\n";
    const int file = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file >= 0 && ::write(file, line.data(), line.size()) < 0) std::abort();
    ::close(file);
  }
  return int(::syscall(SYS_fdatasync, descriptor));
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) {
  static std::atomic<int> started{0};
  const char* const most = std::getenv("FAULT_THREADS");
  if (most != nullptr && started++ >= std::atoi(most)) return EAGAIN;
  static auto* const create =
      original<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  return create(thread, attributes, body, argument);
}

long syscall(long number, ...) noexcept {
  std::va_list list;
  va_start(list, number);
  std::array<long, 6> a;
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  static auto* const call = original<long(long, ...)>("syscall");
#ifdef __NR_io_uring_enter
  if (number == __NR_io_uring_enter && std::getenv("FAULT_IO_URING")) {
    errno = EPERM;
    return -1;
  }
#endif
  return call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
