#include "methods/leaf_tensor.h"

#include <algorithm>
#include <tuple>

#include "checkpoint/hash.h"
#include "error.h"

namespace branchmerge {

LeafTensor::LeafTensor(const InputFiles& inputs, const ByteRange& range,
                       std::function<void(uint64_t)> on_first_look)
    : inputs_(inputs),
      range_(range),
      on_first_look_(std::move(on_first_look)),
      hashes_((range.size() + kHashPieceBytes - 1) / kHashPieceBytes),
      hashed_(hashes_.size()),
      pieces_left_(hashes_.size()) {}

void LeafTensor::attach(ArrivingGroup& group, size_t index) {
  group_ = &group;
  index_ = index;
}

const std::byte* LeafTensor::fetch(std::vector<std::byte>& buffer, uint64_t begin, uint64_t end) {
  const uint64_t room = std::min(end + kHashPieceBytes, size()) - begin;
  if (group_ == nullptr && buffer.size() < room) buffer.resize(room);
  return fetch(buffer.data(), begin, end);
}

const std::byte* LeafTensor::fetch(std::byte* room, uint64_t begin, uint64_t end) {
  // A piece belongs to the stretch that holds its first byte; its end may lie beyond.
  const size_t first = (begin + kHashPieceBytes - 1) / kHashPieceBytes;
  const size_t last = (end + kHashPieceBytes - 1) / kHashPieceBytes;
  const bool hash = pieces_left_ > 0;
  const uint64_t until = hash ? std::max(end, std::min<uint64_t>(size(), last * kHashPieceBytes)) : end;
  const std::byte* bytes;
  if (group_ != nullptr) {
    bytes = group_->wait_for(index_, until) + begin;
  } else {
    inputs_.buffered(range_.input).read_exactly({room, until - begin}, range_.begin + begin);
    bytes = room;
  }
  if (hash) hash_pieces(bytes, begin, first, last);
  return bytes;
}

void LeafTensor::hash_pieces(const std::byte* bytes, uint64_t begin, size_t first, size_t last) {
  // Two whole pieces at a time (xxh64_pair) unless somebody else has one of them.
  for (size_t piece = first; piece < last; piece++) {
    if (hashed_[piece].exchange(true)) continue;
    const std::byte* here = bytes + (piece * kHashPieceBytes - begin);
    const uint64_t room = std::min<uint64_t>(kHashPieceBytes, size() - piece * kHashPieceBytes);
    const bool paired =
        piece + 1 < last && size() >= (piece + 2) * kHashPieceBytes && !hashed_[piece + 1].exchange(true);
    if (paired)
      std::tie(hashes_[piece], hashes_[piece + 1]) =
          xxh64_pair(here, here + kHashPieceBytes, kHashPieceBytes);
    else
      hashes_[piece] = xxh64({here, room});
    on_first_look_(paired ? 2 * kHashPieceBytes : room);
    pieces_left_ -= paired ? 2 : 1;
  }
}

void LeafTensor::finish() {
  std::vector<std::byte> buffer;
  constexpr uint64_t kStretch = 16 * kHashPieceBytes;
  for (uint64_t begin = 0; begin < size() && pieces_left_ > 0; begin += kStretch)
    fetch(buffer, begin, std::min(size(), begin + kStretch));
}

std::string LeafTensor::hash() const { return hash_text(combine_piece_hashes(hashes_)); }

const std::byte* LeafReader::fetch(size_t worker, uint64_t begin, uint64_t end) {
  if (cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
  return leaf_.fetch(buffers_[worker], begin, end);
}

}  // namespace branchmerge
