#include "io/output_writer.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "error_code.h"
#include "temporary_directory.h"

namespace branchmerge {
namespace {

std::byte byte_at(size_t output, uint64_t at) { return std::byte(at * 31 + at / 4096 + output); }

void fill(OutputWriter& writer, size_t output, uint64_t begin, uint64_t end) {
  for (uint64_t at = begin; at < end;) {
    const uint64_t stop = std::min(end, (at / kWriteBlock + 1) * kWriteBlock);
    std::byte* out = writer.open(output, at, stop);
    for (uint64_t i = at; i < stop; i++) out[i - at] = byte_at(output, i);
    writer.close(output, at, stop);
    at = stop;
  }
}

TEST_CASE("files hold what was written, to the byte, from several threads and through few buffers") {
  const TemporaryDirectory directory;
  const std::vector<uint64_t> sizes{1, 4096, kWriteBlock, kWriteBlock + 1, 10 * kWriteBlock + 12345};
  std::vector<OutputWriter::Output> outputs;
  for (size_t i = 0; i < sizes.size(); i++) outputs.push_back({directory.file(std::to_string(i)), sizes[i]});
  OutputWriter writer(outputs, 4);
  for (size_t i = 0; i < sizes.size(); i++) {
    const uint64_t middle = sizes[i] / 2;
    std::thread other([&] { fill(writer, i, 0, middle); });
    fill(writer, i, middle, sizes[i]);
    other.join();
  }
  writer.finish();
  uint64_t total = 0;
  for (size_t i = 0; i < sizes.size(); i++) {
    std::ifstream file(outputs[i].path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    REQUIRE(bytes.size() == sizes[i]);
    uint64_t wrong = 0;
    for (uint64_t at = 0; at < bytes.size(); at++) wrong += std::byte(bytes[at]) != byte_at(i, at);
    CHECK(wrong == 0);
    total += sizes[i];
  }
  CHECK(writer.bytes_written() == total);
}

TEST_CASE("an existing file is not overwritten") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("there");
  std::ofstream(path) << "precious";
  OutputWriter writer({{path, 10}}, 3);
  CHECK(error_code([&] {
          fill(writer, 0, 0, 10);
          writer.finish();
        }) == "ERR_OUTPUT_WRITE");
  std::ifstream file(path);
  CHECK(std::string(std::istreambuf_iterator<char>(file), {}) == "precious");
}

TEST_CASE("a size limit is an error that reaches every producer") {
  const TemporaryDirectory directory;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit limited{2 << 20, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limited);
  const uint64_t size = 64 * kWriteBlock;
  OutputWriter writer({{directory.file("large"), size}}, 4);
  CHECK(error_code([&] {
          fill(writer, 0, 0, size);
          writer.finish();
        }) == "ERR_OUTPUT_WRITE");
  setrlimit(RLIMIT_FSIZE, &before);
}

TEST_CASE("cancelling wakes producers that wait for a buffer") {
  const TemporaryDirectory directory;
  OutputWriter writer({{directory.file("file"), 8 * kWriteBlock}}, 2);
  writer.open(0, 0, 1);
  writer.open(0, kWriteBlock, kWriteBlock + 1);
  std::thread canceller([&] { writer.cancel(); });
  CHECK(error_code([&] { writer.open(0, 2 * kWriteBlock, 2 * kWriteBlock + 1); }) == "ERR_CANCELLED");
  canceller.join();
}

TEST_CASE("a file that was cut off is taken up where it was safe") {
  const TemporaryDirectory directory;
  const uint64_t size = 6 * kWriteBlock + 777, safe = 4 * kWriteBlock;
  const std::string path = directory.file("cut");
  {
    OutputWriter writer({{path, safe}}, 8);
    fill(writer, 0, 0, safe);
    writer.finish();
  }
  std::ofstream(path, std::ios::binary | std::ios::app) << "what is not safe may hold anything";
  uint64_t told = 0;
  OutputWriter writer({{path, size, safe}}, 8, [&](size_t output, uint64_t bytes) {
    CHECK(output == 0);
    CHECK(bytes >= told);
    told = bytes;
  });
  CHECK(writer.written(0, safe));
  CHECK(!writer.written(0, safe + 1));
  fill(writer, 0, safe, size);
  writer.finish();
  CHECK(told == size);
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  REQUIRE(bytes.size() == size);
  uint64_t wrong = 0;
  for (uint64_t at = 0; at < size; at++) wrong += std::byte(bytes[at]) != byte_at(0, at);
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace branchmerge
