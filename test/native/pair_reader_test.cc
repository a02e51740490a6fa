#include "checkpoint/pair_reader.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>

#include "error_code.h"
#include "temporary_directory.h"

namespace branchmerge {
namespace {

std::string random_bytes(size_t size) {
  std::mt19937_64 random(1);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = char(random());
  return bytes;
}

TEST_CASE("pairs arrive whole, in order, from any alignment, and through a ring smaller than the files") {
  const TemporaryDirectory directory;
  const size_t size = 300 << 20;
  const std::string left = random_bytes(size);
  const std::string path = directory.write("left", left);
  // Sizes from nothing to many reads, at odd positions; Right reads the same file elsewhere.
  std::vector<PairReader::Pair> pairs;
  uint64_t at = 3;
  for (const uint64_t bytes :
       {0ull, 1ull, 4095ull, 4096ull, 5ull << 20, 40ull << 20, 17ull, 90ull << 20, 100ull << 20}) {
    pairs.push_back({{0, at, at + bytes}, {0, at / 2, at / 2 + bytes}});
    at += bytes;
  }
  pairs.push_back({{0, size - 5, size}, {0, 0, 5}});
  InputFiles inputs({{path, size}});
  PairReader reader(inputs, pairs);
  for (const PairReader::Pair& pair : pairs) {
    ArrivingPair& arriving = reader.next();
    arriving.wait_for(pair.left.size());
    CHECK(std::equal(arriving.left(), arriving.left() + pair.left.size(),
                     reinterpret_cast<const std::byte*>(left.data()) + pair.left.begin));
    CHECK(std::equal(arriving.right(), arriving.right() + pair.right.size(),
                     reinterpret_cast<const std::byte*>(left.data()) + pair.right.begin));
    reader.release();
  }
  CHECK_NOTHROW(inputs.check_unchanged());
}

TEST_CASE("a file of another size than its header was checked against is refused") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("left", random_bytes(1000));
  CHECK(error_code([&] { InputFiles({{path, 1001}}); }) == "ERR_FILE_CHANGED");
}

TEST_CASE("a file that shrinks while it is read is an error, not a signal") {
  const TemporaryDirectory directory;
  const size_t size = 400 << 20;
  const std::string path = directory.write("left", random_bytes(size));
  // The ring holds less than all of it: the second pair is read after the cut.
  const uint64_t half = size / 2;
  InputFiles inputs({{path, size}});
  PairReader reader(inputs, {{{0, 0, half}, {0, 0, half}}, {{0, half, size}, {0, half, size}}});
  ArrivingPair& first = reader.next();
  first.wait_for(half);
  REQUIRE(truncate(path.c_str(), off_t(half + 1000)) == 0);
  reader.release();
  CHECK(error_code([&] { reader.next().wait_for(half); }) == "ERR_FILE_CHANGED");
}

TEST_CASE("a file that was written to meanwhile is noticed") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("left", random_bytes(1000));
  InputFiles inputs({{path, 1000}});
  PairReader reader(inputs, {{{0, 0, 1000}, {0, 0, 1000}}});
  reader.next().wait_for(1000);
  reader.release();
  std::filesystem::last_write_time(path,
                                   std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  CHECK(error_code([&] { inputs.check_unchanged(); }) == "ERR_FILE_CHANGED");
}

TEST_CASE("cancelling wakes everyone") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("left", random_bytes(1000));
  InputFiles inputs({{path, 1000}});
  PairReader reader(inputs, {{{0, 0, 1000}, {0, 0, 1000}}});
  reader.cancel();
  CHECK(error_code([&] { reader.next(); }) == "ERR_CANCELLED");
}

}  // namespace
}  // namespace branchmerge
