#include "sandbox/descriptors.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace branchmerge::sandbox {

void write_all(int descriptor, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(descriptor, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads any more
    done += size_t(written);
  }
}

std::string read_to_end(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t size = ::read(descriptor, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return text;
    text.append(buffer.data(), size_t(size));
  }
}

void close_descriptors_from(int first) {
  constexpr long kCloseRange = 436;  // the same everywhere; from Linux 5.9
  if (::syscall(kCloseRange, first, ~0U, 0) == 0) return;
  const long most = ::sysconf(_SC_OPEN_MAX);
  for (int descriptor = first; descriptor < most; ++descriptor) ::close(descriptor);
}

}  // namespace branchmerge::sandbox
