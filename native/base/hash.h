#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace branchmerge {

/// XXH64 (its published specification), seed 0.
uint64_t xxh64(std::span<const std::byte> bytes);

/// 16 lower-case hexadecimal digits, most significant first.
std::string hash_text(uint64_t hash);

/// A tensor's bytes are hashed in pieces of this size, so that threads can share the work.
inline constexpr size_t kHashPieceBytes = 64 << 10;

/// XXH64 of `count` pieces of kHashPieceBytes that follow each other, into hashes[0 … count). A lane's steps
/// wait for each other; several pieces at a time fill the gaps, and the vectors of AVX-512 where the CPU has
/// them.
void xxh64_pieces(const std::byte* bytes, size_t count, uint64_t* hashes);

/// The hash of a tensor: XXH64 over the little-endian XXH64 of each of its pieces, in order.
uint64_t combine_piece_hashes(std::span<const uint64_t> piece_hashes);

/// Hash of a tensor in the file that it is written to. Its pieces are cut where the file's position is a
/// multiple of kHashPieceBytes, so that blocks of the file can be hashed one by one, in any order.
class PlacedHash {
 public:
  /// The tensor's place in the file.
  PlacedHash(uint64_t begin, uint64_t bytes);
  /// The tensor's bytes [begin, end); both ends are cuts, or the tensor's. Thread-safe for different
  /// stretches.
  void add(uint64_t begin, uint64_t end, const std::byte* bytes);
  /// The hash of the piece that holds byte `at` of the tensor, once it was added.
  uint64_t piece_at(uint64_t at) const { return pieces_[(phase_ + at) / kHashPieceBytes]; }
  /// When every byte was added.
  uint64_t value() const { return combine_piece_hashes(pieces_); }

 private:
  const uint64_t phase_;  // of the tensor's first byte in its piece of the file
  std::vector<uint64_t> pieces_;
};

}  // namespace branchmerge
