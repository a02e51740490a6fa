#include "base/hash.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "error_code.h"

namespace branchmerge {
namespace {

/// The test buffer of xxHash's own sanity check.
std::vector<std::byte> sanity_buffer(size_t size) {
  std::vector<std::byte> bytes(size);
  uint64_t generator = 2654435761u;
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(generator >> 56);
    generator *= 11400714785074694797u;
  }
  return bytes;
}

/// XXH64 step by step as the specification words it, one byte at a time, to compare with.
uint64_t specified_xxh64(const std::vector<std::byte>& input) {
  constexpr uint64_t p1 = 11400714785074694791u, p2 = 14029467366897019727u, p3 = 1609587929392839161u,
                     p4 = 9650029242287828579u, p5 = 2870177450012600261u;
  const auto word = [&](size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= std::to_integer<uint64_t>(input[at + i]) << (8 * i);
    return value;
  };
  const auto rotate = [](uint64_t value, int by) { return (value << by) | (value >> (64 - by)); };
  const auto round = [&](uint64_t accumulator, uint64_t lane) {
    return rotate(accumulator + lane * p2, 31) * p1;
  };

  uint64_t hash = p5;
  size_t at = 0;
  if (input.size() >= 32) {
    uint64_t accumulators[4] = {p1 + p2, p2, 0, 0 - p1};
    for (; at + 32 <= input.size(); at += 32) {
      for (size_t i = 0; i < 4; ++i) accumulators[i] = round(accumulators[i], word(at + 8 * i, 8));
    }
    const int rotations[4] = {1, 7, 12, 18};
    hash = 0;
    for (size_t i = 0; i < 4; ++i) hash += rotate(accumulators[i], rotations[i]);
    for (const uint64_t accumulator : accumulators) hash = (hash ^ round(0, accumulator)) * p1 + p4;
  }
  hash += input.size();
  for (; at + 8 <= input.size(); at += 8) hash = rotate(hash ^ round(0, word(at, 8)), 27) * p1 + p4;
  for (; at + 4 <= input.size(); at += 4) hash = rotate(hash ^ (word(at, 4) * p1), 23) * p2 + p3;
  for (; at < input.size(); ++at) hash = rotate(hash ^ (word(at, 1) * p5), 11) * p1;
  hash = (hash ^ (hash >> 33)) * p2;
  hash = (hash ^ (hash >> 29)) * p3;
  return hash ^ (hash >> 32);
}

TEST_CASE("XXH64 gives the published values") {
  CHECK(xxh64(bytes_of("")) == 0xEF46DB3751D8E999);
  CHECK(xxh64(bytes_of("a")) == 0xD24EC4F1A98C6E5B);
  CHECK(xxh64(bytes_of("as")) == 0x1C330FB2D66BE179);
  CHECK(xxh64(bytes_of("asd")) == 0x631C37CE72A97393);
  CHECK(xxh64(bytes_of("asdf")) == 0x415872F599CEA71E);
  CHECK(xxh64(bytes_of("abc")) == 0x44BC2CF5AD770999);
  CHECK(xxh64(bytes_of("Call me Ishmael. Some years ago--never mind how long precisely-")) ==
        0x02A2E85470D6FD96);
  CHECK(xxh64(sanity_buffer(1)) == 0xE934A84ADB052768);
  CHECK(xxh64(sanity_buffer(4)) == 0x9136A0DCA57457EE);
  CHECK(xxh64(sanity_buffer(14)) == 0x8282DCC4994E35C8);
  CHECK(xxh64(sanity_buffer(222)) == 0xB641AE8CB691C174);
}

TEST_CASE("XXH64 follows the specification at every length and alignment") {
  for (size_t length = 0; length <= 200; ++length) {
    const std::vector<std::byte> bytes = sanity_buffer(length);
    const uint64_t expected = specified_xxh64(bytes);
    for (size_t shift = 0; shift < 8; ++shift) {
      std::vector<std::byte> shifted(length + shift);
      std::copy(bytes.begin(), bytes.end(), shifted.begin() + static_cast<std::ptrdiff_t>(shift));
      CAPTURE(length);
      CAPTURE(shift);
      CHECK(xxh64(std::span(shifted).subspan(shift)) == expected);
    }
  }
}

TEST_CASE("every bit of the input counts") {
  std::vector<std::byte> bytes = sanity_buffer(100);
  const uint64_t before = xxh64(bytes);
  for (std::byte& byte : bytes) {
    byte ^= std::byte{1};
    CHECK(xxh64(bytes) != before);
    byte ^= std::byte{1};
  }
}

TEST_CASE("hash_text has 16 digits, most significant first") {
  CHECK(hash_text(0) == "0000000000000000");
  CHECK(hash_text(0x0123456789ABCDEF) == "0123456789abcdef");
}

TEST_CASE("a tensor's hash is XXH64 over the little-endian hashes of its pieces") {
  const std::vector<uint64_t> pieces = {0x0123456789ABCDEF, 0xFFFFFFFFFFFFFFFF};
  CHECK(combine_piece_hashes(pieces) ==
        xxh64(bytes_of("\xEF\xCD\xAB\x89\x67\x45\x23\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")));
  CHECK(combine_piece_hashes({}) == xxh64({}));
}

TEST_CASE("hashes several pieces at once as it does one by one") {
  const std::vector<std::byte> bytes = sanity_buffer(9 * kHashPieceBytes + 1);
  for (size_t count = 0; count <= 9; count++) {
    std::vector<uint64_t> hashes(count + 1, 7);
    xxh64_pieces(bytes.data() + 1, count, hashes.data());
    for (size_t i = 0; i < count; i++)
      CHECK(hashes[i] == xxh64({bytes.data() + 1 + i * kHashPieceBytes, kHashPieceBytes}));
    CHECK(hashes[count] == 7);
  }
}

TEST_CASE("a placed hash is that of pieces cut by the position in the file, in whatever order they come") {
  const std::vector<std::byte> bytes = sanity_buffer(5 * kHashPieceBytes + 123);
  for (const uint64_t begin : {uint64_t(0), uint64_t(8), kHashPieceBytes - 2, 3 * kHashPieceBytes + 4096}) {
    for (const uint64_t size : {uint64_t(0), uint64_t(1), kHashPieceBytes, bytes.size()}) {
      std::vector<uint64_t> pieces, cuts{0};
      for (uint64_t cut = kHashPieceBytes - begin % kHashPieceBytes; cut < size; cut += kHashPieceBytes)
        cuts.push_back(cut);
      cuts.push_back(size);
      for (size_t i = 0; size > 0 && i + 1 < cuts.size(); i++)
        pieces.push_back(xxh64({bytes.data() + cuts[i], cuts[i + 1] - cuts[i]}));

      PlacedHash whole(begin, size), parts(begin, size);
      whole.add(0, size, bytes.data());
      for (size_t i = cuts.size() - 1; i-- > 0;) parts.add(cuts[i], cuts[i + 1], bytes.data() + cuts[i]);
      CHECK(whole.value() == combine_piece_hashes(pieces));
      CHECK(parts.value() == whole.value());
    }
  }
}

}  // namespace
}  // namespace branchmerge
