#include "checkpoint/hash.h"

#include <bit>
#include <cstring>

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

/// Steps 1 to 3 of the specification; moves `bytes` to what is left after the last whole stripe.
uint64_t hash_stripes(const std::byte*& bytes, const std::byte* end) {
  uint64_t lane1 = kPrime1 + kPrime2;
  uint64_t lane2 = kPrime2;
  uint64_t lane3 = 0;
  uint64_t lane4 = 0 - kPrime1;
  for (; static_cast<size_t>(end - bytes) >= kStripeBytes; bytes += kStripeBytes) {
    lane1 = mix_lane(lane1, load<uint64_t>(bytes));
    lane2 = mix_lane(lane2, load<uint64_t>(bytes + 8));
    lane3 = mix_lane(lane3, load<uint64_t>(bytes + 16));
    lane4 = mix_lane(lane4, load<uint64_t>(bytes + 24));
  }
  uint64_t hash = std::rotl(lane1, 1) + std::rotl(lane2, 7) + std::rotl(lane3, 12) + std::rotl(lane4, 18);
  for (const uint64_t lane : {lane1, lane2, lane3, lane4}) hash = merge_lane(hash, lane);
  return hash;
}

uint64_t avalanche(uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace

uint64_t xxh64(std::span<const std::byte> bytes) {
  const std::byte* next = bytes.data();
  const std::byte* const end = next + bytes.size();
  uint64_t hash = bytes.size() >= kStripeBytes ? hash_stripes(next, end) : kPrime5;
  hash += bytes.size();
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

std::string hash_text(uint64_t hash) {
  std::string text(16, '0');
  for (size_t digit = text.size(); digit-- > 0; hash >>= 4) text[digit] = "0123456789abcdef"[hash & 15];
  return text;
}

uint64_t combine_piece_hashes(std::span<const uint64_t> piece_hashes) {
  return xxh64(std::as_bytes(piece_hashes));
}

}  // namespace branchmerge
