#include "checkpoint/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

namespace branchmerge {
namespace {

// The five primes of the XXH64 specification.
constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5;
constexpr size_t kStripeBytes = 32;

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

}  // namespace

uint64_t xxh64(std::span<const std::byte> bytes) {
  if (bytes.size() < kStripeBytes) return finish(kPrime5, bytes.data(), bytes.size());
  Lanes lanes;
  for (size_t at = 0; at + kStripeBytes <= bytes.size(); at += kStripeBytes)
    lanes.take_stripe(bytes.data() + at);
  return finish(lanes.converge(), bytes.data(), bytes.size());
}

std::pair<uint64_t, uint64_t> xxh64_pair(const std::byte* left, const std::byte* right, size_t size) {
  if (size < kStripeBytes) return {finish(kPrime5, left, size), finish(kPrime5, right, size)};
  Lanes left_lanes, right_lanes;
  for (size_t at = 0; at + kStripeBytes <= size; at += kStripeBytes) {
    left_lanes.take_stripe(left + at);
    right_lanes.take_stripe(right + at);
  }
  return {finish(left_lanes.converge(), left, size), finish(right_lanes.converge(), right, size)};
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
    const uint64_t after = next + kHashPieceBytes;
    const std::byte* here = bytes + (at - begin);
    if (next - at == kHashPieceBytes && after <= end) {
      std::tie(pieces_[piece], pieces_[piece + 1]) =
          xxh64_pair(here, here + kHashPieceBytes, kHashPieceBytes);
      at = after;
    } else {
      pieces_[piece] = xxh64({here, next - at});
      at = next;
    }
  }
}

}  // namespace branchmerge
