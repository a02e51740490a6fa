#include "base/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/xxh64_lanes.h"

namespace branchmerge {
namespace {

// The five primes of the XXH64 specification.
constexpr uint64_t kPrime1 = kXxhPrime1;
constexpr uint64_t kPrime2 = kXxhPrime2;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5;
constexpr size_t kStripeBytes = kXxhStripeBytes;

static_assert(std::endian::native == std::endian::little, "XXH64 reads little-endian words");

template <typename Word>
Word load(const std::byte* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

uint64_t mix_lane(uint64_t lane, uint64_t word) { return std::rotl(lane + word * kPrime2, 31) * kPrime1; }

uint64_t merge_lane(uint64_t hash, uint64_t lane) { return (hash ^ mix_lane(0, lane)) * kPrime1 + kPrime4; }

/// The four lanes of step 1 of the specification.
struct Lanes {
  uint64_t lanes[4] = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};

  void take_stripe(const std::byte* bytes) {
    for (size_t i = 0; i < 4; ++i) lanes[i] = mix_lane(lanes[i], load<uint64_t>(bytes + 8 * i));
  }
  uint64_t converge() const {
    uint64_t hash =
        std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) + std::rotl(lanes[3], 18);
    for (const uint64_t lane : lanes) hash = merge_lane(hash, lane);
    return hash;
  }
};

uint64_t avalanche(uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

/// Steps 4 to 6: the size, what is left after the last whole stripe, and the final mix.
uint64_t finish(uint64_t hash, const std::byte* bytes, size_t size) {
  const std::byte* next = bytes + size / kStripeBytes * kStripeBytes;
  const std::byte* const end = bytes + size;
  hash += size;
  for (; end - next >= 8; next += 8) {
    hash = std::rotl(hash ^ mix_lane(0, load<uint64_t>(next)), 27) * kPrime1 + kPrime4;
  }
  if (end - next >= 4) {
    hash = std::rotl(hash ^ (load<uint32_t>(next) * kPrime1), 23) * kPrime2 + kPrime3;
    next += 4;
  }
  for (; next != end; ++next) {
    hash = std::rotl(hash ^ (std::to_integer<uint64_t>(*next) * kPrime5), 11) * kPrime1;
  }
  return avalanche(hash);
}

void hash_pair(const std::byte* bytes, uint64_t* hashes) {
  const std::byte* const next = bytes + kHashPieceBytes;
  Lanes left, right;
  for (size_t at = 0; at < kHashPieceBytes; at += kStripeBytes) {
    left.take_stripe(bytes + at);
    right.take_stripe(next + at);
  }
  hashes[0] = finish(left.converge(), bytes, kHashPieceBytes);
  hashes[1] = finish(right.converge(), next, kHashPieceBytes);
}

#ifdef BRANCHMERGE_X86
void hash_wide(const std::byte* bytes, uint64_t* hashes) {
  Lanes pieces[kXxhWidePieces];
  uint64_t lanes[kXxhWidePieces][4];
  for (size_t i = 0; i < kXxhWidePieces; i++) std::copy_n(pieces[i].lanes, 4, lanes[i]);
  xxh64_stripes_avx512(bytes, kHashPieceBytes, lanes);
  for (size_t i = 0; i < kXxhWidePieces; i++) {
    std::copy_n(lanes[i], 4, pieces[i].lanes);
    hashes[i] = finish(pieces[i].converge(), bytes + i * kHashPieceBytes, kHashPieceBytes);
  }
}
#endif

}  // namespace

uint64_t xxh64(std::span<const std::byte> bytes) {
  if (bytes.size() < kStripeBytes) return finish(kPrime5, bytes.data(), bytes.size());
  Lanes lanes;
  for (size_t at = 0; at + kStripeBytes <= bytes.size(); at += kStripeBytes)
    lanes.take_stripe(bytes.data() + at);
  return finish(lanes.converge(), bytes.data(), bytes.size());
}

void xxh64_pieces(const std::byte* bytes, size_t count, uint64_t* hashes) {
#ifdef BRANCHMERGE_X86
  static const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
  for (; wide && count >= kXxhWidePieces; count -= kXxhWidePieces, hashes += kXxhWidePieces) {
    hash_wide(bytes, hashes);
    bytes += kXxhWidePieces * kHashPieceBytes;
  }
#endif
  for (; count >= 2; count -= 2, hashes += 2, bytes += 2 * kHashPieceBytes) hash_pair(bytes, hashes);
  if (count == 1) hashes[0] = xxh64({bytes, kHashPieceBytes});
}

std::string hash_text(uint64_t hash) {
  std::string text(16, '0');
  for (size_t digit = text.size(); digit-- > 0; hash >>= 4) text[digit] = "0123456789abcdef"[hash & 15];
  return text;
}

uint64_t combine_piece_hashes(std::span<const uint64_t> piece_hashes) {
  return xxh64(std::as_bytes(piece_hashes));
}

PlacedHash::PlacedHash(uint64_t begin, uint64_t bytes)
    : phase_(begin % kHashPieceBytes), pieces_((phase_ + bytes + kHashPieceBytes - 1) / kHashPieceBytes) {
  if (bytes == 0) pieces_.clear();
}

void PlacedHash::add(uint64_t begin, uint64_t end, const std::byte* bytes) {
  for (uint64_t at = begin; at < end;) {
    const size_t piece = (phase_ + at) / kHashPieceBytes;
    const uint64_t next = std::min(end, (piece + 1) * kHashPieceBytes - phase_);
    const std::byte* here = bytes + (at - begin);
    const size_t whole = next - at == kHashPieceBytes ? (end - at) / kHashPieceBytes : 0;
    if (whole > 0) {
      xxh64_pieces(here, whole, &pieces_[piece]);
      at += whole * kHashPieceBytes;
    } else {
      pieces_[piece] = xxh64({here, next - at});
      at = next;
    }
  }
}

}  // namespace branchmerge
