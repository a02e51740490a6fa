#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/hash.h"
#include "io/output_writer.h"
#include "merge/merge_progress.h"

namespace branchmerge {

/// Where a merged tensor goes, piece by piece and in any order. Every byte is taken once: when a device
/// failed and the tensor is computed again, what came before is compared and not taken again.
class TensorSink {
 public:
  /// The tensor's place in the output file.
  TensorSink(OutputWriter& writer, size_t output, uint64_t begin, uint64_t bytes, Progress& progress)
      : writer_(writer),
        output_(output),
        begin_(begin),
        bytes_(bytes),
        progress_(progress),
        hash_(begin, bytes),
        taken_(pieces_before(bytes)) {}

  uint64_t bytes() const { return bytes_; }
  /// Where byte 0 lies in its block of the output.
  uint64_t phase() const { return begin_ % kWriteBlock; }
  /// The last cut that is not beyond byte `end`. Pieces end at cuts and do not cross blocks.
  uint64_t cut_before(uint64_t end) const {
    return end == bytes_ ? end : end - (begin_ + end) % kHashPieceBytes;
  }

  /// Room for bytes [begin, end) of the tensor, in `room` where the writer does not want them. Thread-safe
  /// for different pieces.
  std::byte* open(std::vector<std::byte>& room, uint64_t begin, uint64_t end);
  /// They are there, `bytes` being what open gave.
  void close(uint64_t begin, uint64_t end, const std::byte* bytes);

  /// When every byte was closed: the hash of the tensor in the output file.
  uint64_t hash() const { return hash_.value(); }

 private:
  size_t pieces_before(uint64_t end) const {
    return size_t((begin_ % kHashPieceBytes + end + kHashPieceBytes - 1) / kHashPieceBytes);
  }
  uint64_t piece_begin(size_t piece) const {
    return piece == 0 ? 0 : piece * kHashPieceBytes - begin_ % kHashPieceBytes;
  }
  size_t first_piece(uint64_t begin) const {
    return size_t((begin_ % kHashPieceBytes + begin) / kHashPieceBytes);
  }
  bool untouched(uint64_t begin, uint64_t end) const;
  void compare(uint64_t begin, uint64_t end, const std::byte* bytes) const;
  void take(uint64_t begin, uint64_t end, const std::byte* bytes);

  OutputWriter& writer_;
  const size_t output_;
  const uint64_t begin_, bytes_;
  Progress& progress_;
  PlacedHash hash_;
  std::vector<uint8_t> taken_;  // of each piece of the hash; not bool: threads write neighbours
};

}  // namespace branchmerge
