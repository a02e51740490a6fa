#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace branchmerge {
namespace {

std::string reason(int error_number) { return std::generic_category().message(error_number); }

/// Retries a system call that a signal interrupted.
template <typename Call>
auto without_interruption(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

[[noreturn]] void fail_reading(const std::string& path, const std::string& why) {
  throw Error("ERR_FILE_READ", path + ": cannot read the file: " + why);
}

[[noreturn]] void fail_writing(const std::string& path, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  throw Error(full ? "ERR_DISK_FULL" : "ERR_OUTPUT_WRITE",
              path + ": cannot write the file: " + reason(error_number) +
                  (full ? ". Free some space, or choose another output directory" : ""));
}

struct stat status_of(int descriptor, const std::string& path) {
  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) fail_reading(path, reason(errno));
  return status;
}

}  // namespace

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

File File::open_for_reading(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer. It is taken off again, because io_uring would
  // answer EAGAIN for a file that has it.
  const int descriptor = without_interruption(
      [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); });
  if (descriptor < 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    if (missing) throw Error("ERR_CHECKPOINT_NOT_FOUND", path + ": there is no such file");
    fail_reading(path, reason(errno));
  }
  File file(descriptor, path);
  const struct stat status = status_of(descriptor, path);
  if (S_ISDIR(status.st_mode)) fail_reading(path, "expected a file but it is a directory");
  if (!S_ISREG(status.st_mode))
    fail_reading(path, "expected a regular file but it is a device, pipe or socket");
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0) fail_reading(path, reason(errno));
  return file;
}

File File::open_for_writing(const std::string& path) { return open_to_write(path, 0); }

File File::open_or_create(const std::string& path) { return open_to_write(path, O_CREAT); }

File File::open_to_write(const std::string& path, int flags_beside) {
  const int flags_wanted = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | flags_beside;
  const int descriptor = without_interruption([&] { return ::open(path.c_str(), flags_wanted, 0666); });
  if (descriptor < 0) fail_writing(path, errno);
  File file(descriptor, path);
  if (!S_ISREG(status_of(descriptor, path).st_mode)) fail_writing(path, EINVAL);
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0) fail_writing(path, errno);
  return file;
}

File File::create(const std::string& path) {
  const int descriptor = without_interruption(
      [&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  if (descriptor < 0) fail_writing(path, errno);
  return File(descriptor, path);
}

void File::read_exactly(std::span<std::byte> buffer, uint64_t offset) const {
  while (!buffer.empty()) {
    const ssize_t count = without_interruption(
        [&] { return ::pread(descriptor_, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
    if (count < 0) fail_reading(path_, reason(errno));
    if (count == 0) {
      throw Error("ERR_FILE_CHANGED", path_ + ": the file ended at byte " + std::to_string(offset) +
                                          " while it was read. Run again when nothing writes to it");
    }
    buffer = buffer.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

void File::write_all(std::span<const std::byte> bytes, uint64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t count = without_interruption(
        [&] { return ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (count < 0) fail_writing(path_, errno);
    if (count == 0) fail_writing(path_, EIO);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

uint64_t File::size() const { return static_cast<uint64_t>(status_of(descriptor_, path_).st_size); }

void File::resize(uint64_t bytes) const {
  if (without_interruption([&] { return ::ftruncate(descriptor_, off_t(bytes)); }) != 0)
    fail_writing(path_, errno);
}

void File::reserve(uint64_t bytes) const {
  if (bytes > 0 && without_interruption([&] { return ::fallocate(descriptor_, 0, 0, off_t(bytes)); }) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS)
    fail_writing(path_, errno);
}

void File::sync() const {
  if (without_interruption([&] { return ::fdatasync(descriptor_); }) != 0) fail_writing(path_, errno);
}

bool File::use_direct_io() const {
  const int flags = ::fcntl(descriptor_, F_GETFL);
  return flags >= 0 && ::fcntl(descriptor_, F_SETFL, flags | O_DIRECT) == 0;
}

}  // namespace branchmerge
