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
inline constexpr size_t kHashPieceBytes = 1 << 20;

/// The hash of a tensor: XXH64 over the little-endian XXH64 of each of its pieces, in order.
uint64_t combine_piece_hashes(std::span<const uint64_t> piece_hashes);

}  // namespace branchmerge
