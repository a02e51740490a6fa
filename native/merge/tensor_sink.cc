#include "merge/tensor_sink.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace branchmerge {

std::byte* TensorSink::open(std::vector<std::byte>& room, uint64_t begin, uint64_t end) {
  // What an earlier run wrote is computed once more, for its figures.
  if (!writer_.written(output_, begin_ + end) && untouched(begin, end))
    return writer_.open(output_, begin_ + begin, begin_ + end);
  room.resize(end - begin);
  return room.data();
}

void TensorSink::close(uint64_t begin, uint64_t end, const std::byte* bytes) {
  const bool written = writer_.written(output_, begin_ + end);
  if (untouched(begin, end)) {
    hash_.add(begin, end, bytes);
    std::fill(taken_.begin() + ptrdiff_t(first_piece(begin)), taken_.begin() + ptrdiff_t(pieces_before(end)),
              1);
    if (!written) writer_.close(output_, begin_ + begin, begin_ + end);
    progress_.add(end - begin);
    return;
  }
  for (size_t piece = first_piece(begin); piece < pieces_before(end); piece++) {
    const uint64_t from = std::max(begin, piece_begin(piece)), to = std::min(end, piece_begin(piece + 1));
    if (taken_[piece])
      compare(from, to, bytes + (from - begin));
    else
      take(from, to, bytes + (from - begin));
  }
}

bool TensorSink::untouched(uint64_t begin, uint64_t end) const {
  return std::none_of(taken_.begin() + ptrdiff_t(first_piece(begin)),
                      taken_.begin() + ptrdiff_t(pieces_before(end)), [](uint8_t taken) { return taken; });
}

void TensorSink::compare(uint64_t begin, uint64_t end, const std::byte* bytes) const {
  if (hash_.piece_at(begin) != xxh64({bytes, end - begin}))
    throw Error("ERR_DEVICE_FAILED",
                "Before it failed, a device gave other bytes than the CPU. Its memory or its link cannot be "
                "trusted: run with device 'cpu' (--device cpu).");
}

void TensorSink::take(uint64_t begin, uint64_t end, const std::byte* bytes) {
  hash_.add(begin, end, bytes);
  taken_[first_piece(begin)] = 1;
  if (!writer_.written(output_, begin_ + end)) {
    std::memcpy(writer_.open(output_, begin_ + begin, begin_ + end), bytes, end - begin);
    writer_.close(output_, begin_ + begin, begin_ + end);
  }
  progress_.add(end - begin);
}

}  // namespace branchmerge
