#include "merge/leaf_tensor.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

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
  const auto here = [&](size_t piece) { return bytes + (piece * kHashPieceBytes - begin); };
  // Stretches of whole pieces that nobody else has, as many at once as there are.
  const size_t whole = size() / kHashPieceBytes;
  for (size_t piece = first; piece < last;) {
    size_t end = piece;
    while (end < std::min(last, whole) && !hashed_[end].exchange(true)) end++;
    xxh64_pieces(here(piece), end - piece, &hashes_[piece]);
    uint64_t looked_at = (end - piece) * kHashPieceBytes;
    if (end == whole && end < last && !hashed_[end].exchange(true)) {
      hashes_[end] = xxh64({here(end), size() - end * kHashPieceBytes});
      pieces_left_--;
      looked_at += size() - end * kHashPieceBytes;
    }
    if (looked_at > 0) on_first_look_(looked_at);
    pieces_left_ -= end - piece;
    piece = end + 1;
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
