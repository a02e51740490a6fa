#pragma once
// What xxh64 shares with its vector form. No standard library in here: the vector form is compiled for CPUs
// that not every machine has, and none of its inline functions may be the copy that the linker keeps for all.
#include <cstddef>
#include <cstdint>

namespace branchmerge {

// The first two of the five primes of the XXH64 specification: those of its lanes.
inline constexpr uint64_t kXxhPrime1 = 0x9E3779B185EBCA87;
inline constexpr uint64_t kXxhPrime2 = 0xC2B2AE3D27D4EB4F;
inline constexpr size_t kXxhStripeBytes = 32;

/// Pieces that the vector form takes at once.
inline constexpr size_t kXxhWidePieces = 4;

/// Step 2 of the specification for kXxhWidePieces pieces of `size` bytes that follow each other, `size` a
/// multiple of kXxhStripeBytes: lanes[i] holds the four lanes of piece i. Needs AVX-512 F and DQ.
void xxh64_stripes_avx512(const std::byte* bytes, size_t size, uint64_t (*lanes)[4]);

}  // namespace branchmerge
