#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace branchmerge {

/// XXH64 (its published specification), seed 0.
uint64_t xxh64(std::span<const std::byte> bytes);

/// 16 lower-case hexadecimal digits, most significant first.
std::string hash_text(uint64_t hash);

/// A tensor's bytes are hashed in pieces of this size, so that threads can share the work.
inline constexpr size_t kHashPieceBytes = 64 << 10;

/// XXH64 of two pieces of the same size at once, which takes little longer than one: a lane's steps wait for
/// each other, and two hashes fill the gaps.
std::pair<uint64_t, uint64_t> xxh64_pair(const std::byte* left, const std::byte* right, size_t size);

/// The hash of a tensor: XXH64 over the little-endian XXH64 of each of its pieces, in order.
uint64_t combine_piece_hashes(std::span<const uint64_t> piece_hashes);

}  // namespace branchmerge
