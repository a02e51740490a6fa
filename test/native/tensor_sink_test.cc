// A tensor that is handed over in pieces, and a second time after a device failed.
#include "merge/tensor_sink.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "error_code.h"
#include "temporary_directory.h"

namespace branchmerge {
namespace {

constexpr uint64_t kBegin = kWriteBlock - 100'000, kBytes = kWriteBlock + 250'000, kAll = kBegin + kBytes;

std::string tensor_bytes() {
  std::string bytes(kBytes, '\0');
  for (size_t i = 0; i < kBytes; i++) bytes[i] = char(i * 2654435761u >> 13);
  return bytes;
}

/// An output of `kAll` bytes whose first ones are there.
struct Fixture {
  TemporaryDirectory directory;
  MergeCallbacks callbacks;
  Progress progress{callbacks, kBytes, 0};
  OutputWriter writer{{{directory.file("out"), kAll}}, 8};
  TensorSink sink{writer, 0, kBegin, kBytes, progress};
  std::vector<std::byte> room;
  const std::string bytes = tensor_bytes();

  Fixture() {
    std::memset(writer.open(0, 0, kBegin), 'h', kBegin);
    writer.close(0, 0, kBegin);
  }
  void hand_over(uint64_t begin, uint64_t end, const std::string& from) {
    std::byte* out = sink.open(room, begin, end);
    std::memcpy(out, from.data() + begin, end - begin);
    sink.close(begin, end, out);
  }
  /// All of it, a block at a time, as Merge does.
  void hand_over_blocks(const std::string& from) {
    for (uint64_t begin = 0; begin < kBytes;) {
      const uint64_t end = std::min(kBytes, begin + kWriteBlock - (sink.phase() + begin) % kWriteBlock);
      hand_over(begin, end, from);
      begin = end;
    }
  }
  std::string file() {
    writer.finish();
    std::ifstream in(directory.file("out"), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

TEST_CASE("pieces in any order are the tensor, and its hash") {
  Fixture one, other;
  one.hand_over_blocks(one.bytes);
  const uint64_t cut = other.sink.cut_before(kBytes / 2);
  CHECK((kBegin + cut) % kHashPieceBytes == 0);
  other.hand_over(100'000, cut, other.bytes);
  other.hand_over(cut, 100'000 + kWriteBlock, other.bytes);
  other.hand_over(100'000 + kWriteBlock, kBytes, other.bytes);
  other.hand_over(0, 100'000, other.bytes);
  CHECK(one.sink.hash() == other.sink.hash());
  const bool same = one.file() == other.file() && one.file().substr(kBegin) == one.bytes;
  CHECK(same);
}

TEST_CASE("what was handed over before a failure is compared, and the rest taken") {
  Fixture whole, again;
  whole.hand_over_blocks(whole.bytes);
  const uint64_t cut = again.sink.cut_before(100'000 + kWriteBlock / 2);
  again.hand_over(100'000, cut, again.bytes);
  again.hand_over_blocks(again.bytes);
  CHECK(again.sink.hash() == whole.sink.hash());
  const bool same = again.file() == whole.file();
  CHECK(same);
}

TEST_CASE("a device that gave other bytes than the CPU does not go unnoticed") {
  Fixture fixture;
  std::string wrong = fixture.bytes;
  wrong[150'000] ^= 1;
  fixture.hand_over(100'000, fixture.sink.cut_before(100'000 + kWriteBlock / 2), wrong);
  CHECK(error_code([&] { fixture.hand_over_blocks(fixture.bytes); }) == "ERR_DEVICE_FAILED");
}

}  // namespace
}  // namespace branchmerge
