#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/file.h"

namespace branchmerge {

/// Bytes [begin, end) of an input file.
struct ByteRange {
  size_t input;
  uint64_t begin, end;
  uint64_t size() const { return end - begin; }
};

/// The files that a merge reads, opened once. One that is in the page cache is to be read from there; others
/// with direct I/O where the file system has it, which leaves the cache alone.
class InputFiles {
 public:
  struct Input {
    std::string path;
    uint64_t bytes;  // what its header was validated against
  };

  /// ERR_FILE_CHANGED when a file has another size; ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ.
  explicit InputFiles(const std::vector<Input>& inputs);

  const File& file(size_t input) const { return inputs_[input].file; }
  /// The same file without direct I/O: any position and size, through the page cache.
  const File& buffered(size_t input) const { return inputs_[input].buffered; }
  uint64_t bytes(size_t input) const { return inputs_[input].bytes; }
  bool cached(size_t input) const { return inputs_[input].cached; }
  /// Bytes of the pages of a range that are in the page cache now; 0 where the kernel cannot tell.
  uint64_t cached_bytes(const ByteRange& range) const;
  bool direct(size_t input) const { return inputs_[input].direct; }
  bool any_direct() const;
  /// For a file system that takes O_DIRECT at open but not for reads. Not thread-safe.
  void give_up_direct(size_t input);
  /// ERR_FILE_CHANGED when one was written to since it was opened.
  void check_unchanged() const;

 private:
  struct Opened {
    File file, buffered;
    uint64_t bytes;
    bool cached, direct;
    int64_t modified_seconds, modified_nanoseconds;
  };
  std::vector<Opened> inputs_;
};

[[noreturn]] void throw_file_changed(const std::string& path);

}  // namespace branchmerge
