#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/file.h"

namespace branchmerge::sft {

/// CRC-32C (Castagnoli), as RFC 3720 defines it.
uint32_t crc32c(std::span<const std::byte> bytes);

/// An event file for TensorBoard: records of length, masked CRC of the length, protocol buffer, masked CRC of
/// it.
class TensorBoardFile {
 public:
  using Scalars = std::vector<std::pair<std::string, float>>;  // tag, value

  /// Makes events.out.tfevents.… in the directory. What earlier files tell of steps behind `step` is void:
  /// TensorBoard drops it. `time` is in seconds since 1970.
  TensorBoardFile(const std::string& directory, uint64_t step, double time);

  void add(uint64_t step, double time, const Scalars& scalars);

  /// Writes the file down.
  void sync() const { file_.sync(); }

  const std::string& path() const { return file_.path(); }

 private:
  void append_record(const std::string& event);

  File file_;
  uint64_t size_ = 0;
};

}  // namespace branchmerge::sft
