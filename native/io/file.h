#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace branchmerge {

/// A file descriptor with its path for messages. Every failure is an Error that names the path.
class File {
 public:
  File() = default;
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// Opens a regular file for reading: ERR_CHECKPOINT_NOT_FOUND when there is none, ERR_FILE_READ otherwise
  /// (a directory, a device, a pipe, no permission).
  static File open_for_reading(const std::string& path);
  /// Opens an existing regular file for writing: ERR_OUTPUT_WRITE.
  static File open_for_writing(const std::string& path);
  /// Opens a regular file for writing, and creates an empty one where there is none: ERR_OUTPUT_WRITE,
  /// ERR_DISK_FULL.
  static File open_or_create(const std::string& path);
  /// Creates (never overwrites) a file for writing: ERR_OUTPUT_WRITE or ERR_DISK_FULL.
  static File create(const std::string& path);

  /// Reads exactly buffer.size() bytes at `offset` or throws: ERR_FILE_CHANGED when the file ends before,
  /// ERR_FILE_READ on an I/O error.
  void read_exactly(std::span<std::byte> buffer, uint64_t offset) const;
  /// Writes all bytes at `offset` or throws ERR_DISK_FULL or ERR_OUTPUT_WRITE.
  void write_all(std::span<const std::byte> bytes, uint64_t offset) const;
  uint64_t size() const;
  /// Cuts the file, or makes it longer by zeros: ERR_OUTPUT_WRITE or ERR_DISK_FULL.
  void resize(uint64_t bytes) const;
  /// Takes the space of so many bytes at once, so that a full disk shows early and the file lies together.
  /// ERR_DISK_FULL, ERR_OUTPUT_WRITE; nothing where the file system cannot.
  void reserve(uint64_t bytes) const;
  void sync() const;           // fdatasync; ERR_OUTPUT_WRITE / ERR_DISK_FULL
  bool use_direct_io() const;  // turns O_DIRECT on for this descriptor; false where the file system refuses

  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  static File open_to_write(const std::string& path, int flags);
  File(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_ = -1;
  std::string path_;
};

}  // namespace branchmerge
