#include "io/read_ahead.h"

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

TEST_CASE("groups arrive whole, in order, from any alignment, and through a ring smaller than the files") {
  const TemporaryDirectory directory;
  const size_t size = 300 << 20;
  const std::string left = random_bytes(size);
  const std::string path = directory.write("left", left);
  // Sizes from nothing to many reads, at odd positions; the others read the same file elsewhere.
  std::vector<ReadAhead::Group> groups;
  uint64_t at = 3;
  for (const uint64_t bytes :
       {0ull, 1ull, 4095ull, 4096ull, 5ull << 20, 40ull << 20, 17ull, 90ull << 20, 100ull << 20}) {
    groups.push_back({{0, at, at + bytes}, {0, at / 2, at / 2 + bytes}, {0, at / 3, at / 3 + bytes / 2}});
    at += bytes;
  }
  groups.push_back({{0, size - 5, size}});
  groups.emplace_back();
  InputFiles inputs({{path, size}});
  ReadAhead reader(inputs, groups, 456 << 20);
  for (const ReadAhead::Group& group : groups) {
    ArrivingGroup& arriving = reader.next();
    for (size_t i = 0; i < group.size(); i++) {
      const std::byte* bytes = arriving.wait_for(i, group[i].size());
      CHECK(std::equal(bytes, bytes + group[i].size(),
                       reinterpret_cast<const std::byte*>(left.data()) + group[i].begin));
    }
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
  ReadAhead reader(inputs, {{{0, 0, half}, {0, 0, half}}, {{0, half, size}, {0, half, size}}},
                   uint64_t(1) << 40);
  ArrivingGroup& first = reader.next();
  for (const size_t part : {0, 1}) first.wait_for(part, half);
  REQUIRE(truncate(path.c_str(), off_t(half + 1000)) == 0);
  reader.release();
  CHECK(error_code([&] { reader.next().wait_for(1, half); }) == "ERR_FILE_CHANGED");
}

TEST_CASE("a file that was written to meanwhile is noticed") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("left", random_bytes(1000));
  InputFiles inputs({{path, 1000}});
  ReadAhead reader(inputs, {{{0, 0, 1000}, {0, 0, 1000}}}, 1 << 20);
  ArrivingGroup& group = reader.next();
  for (const size_t part : {0, 1}) group.wait_for(part, 1000);
  reader.release();
  std::filesystem::last_write_time(path,
                                   std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  CHECK(error_code([&] { inputs.check_unchanged(); }) == "ERR_FILE_CHANGED");
}

TEST_CASE("cancelling wakes everyone") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("left", random_bytes(1000));
  InputFiles inputs({{path, 1000}});
  ReadAhead reader(inputs, {{{0, 0, 1000}, {0, 0, 1000}}}, 1 << 20);
  reader.cancel();
  CHECK(error_code([&] { reader.next(); }) == "ERR_CANCELLED");
}

}  // namespace
}  // namespace branchmerge
