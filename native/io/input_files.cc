#include "io/input_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"

namespace branchmerge {
namespace {

/// Bytes of the pages in the page cache. Kernels before 6.5 cannot tell: then there are none.
uint64_t cached_bytes_of(const File& file, uint64_t begin, uint64_t bytes) {
  struct {
    uint64_t offset, length;
  } range{begin, bytes};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } pages{};
  constexpr long kCachestat = 451;
  if (syscall(kCachestat, file.descriptor(), &range, &pages, 0) != 0) return 0;
  return pages.cached * uint64_t(sysconf(_SC_PAGESIZE));
}

/// Whether that is nearly all of a file.
bool is_cached(const File& file, uint64_t bytes) {
  return double(cached_bytes_of(file, 0, bytes)) > 0.9 * double(bytes);
}

}  // namespace

void throw_file_changed(const std::string& path) {
  throw Error("ERR_FILE_CHANGED",
              path + ": the file was changed while it was read. Run again when nothing writes to it.");
}

InputFiles::InputFiles(const std::vector<Input>& inputs) {
  for (const Input& input : inputs) {
    Opened opened{File::open_for_reading(input.path),
                  File::open_for_reading(input.path),
                  input.bytes,
                  false,
                  false,
                  0,
                  0};
    struct stat status;
    if (fstat(opened.file.descriptor(), &status) != 0 || uint64_t(status.st_size) != input.bytes)
      throw_file_changed(input.path);
    opened.modified_seconds = status.st_mtim.tv_sec;
    opened.modified_nanoseconds = status.st_mtim.tv_nsec;
    opened.cached = is_cached(opened.file, input.bytes);
    opened.direct = !opened.cached && opened.file.use_direct_io();
    inputs_.push_back(std::move(opened));
  }
}

uint64_t InputFiles::cached_bytes(const ByteRange& range) const {
  return cached_bytes_of(inputs_[range.input].file, range.begin, range.size());
}

bool InputFiles::any_direct() const {
  return std::any_of(inputs_.begin(), inputs_.end(), [](const Opened& input) { return input.direct; });
}

void InputFiles::give_up_direct(size_t input) {
  const int descriptor = inputs_[input].file.descriptor();
  fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_DIRECT);
  inputs_[input].direct = false;
}

void InputFiles::check_unchanged() const {
  for (const Opened& input : inputs_) {
    struct stat status;
    if (fstat(input.file.descriptor(), &status) != 0 || uint64_t(status.st_size) != input.bytes ||
        status.st_mtim.tv_sec != input.modified_seconds ||
        status.st_mtim.tv_nsec != input.modified_nanoseconds)
      throw_file_changed(input.file.path());
  }
}

}  // namespace branchmerge
