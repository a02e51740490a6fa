#include "io/file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "base/hash.h"
#include "error_code.h"
#include "safetensors/read_header.h"
#include "temporary_directory.h"

namespace branchmerge {
namespace {

std::string read(const File& file, uint64_t offset, size_t size) {
  std::string text(size, '\0');
  file.read_exactly(std::as_writable_bytes(std::span(text)), offset);
  return text;
}

std::string open_code(const std::string& path) {
  return error_code([&] { File::open_for_reading(path); });
}

TEST_CASE("bytes come back from where they were written") {
  const TemporaryDirectory directory;
  {
    const File file = File::create(directory.file("x"));
    file.write_all(bytes_of("world"), 6);
    file.write_all(bytes_of("hello "), 0);
    file.sync();
    CHECK(file.size() == 11);
  }
  const File file = File::open_for_reading(directory.file("x"));
  CHECK(file.size() == 11);
  CHECK(read(file, 0, 11) == "hello world");
  CHECK(read(file, 6, 5) == "world");
  CHECK(read(file, 11, 0).empty());
  CHECK((::fcntl(file.descriptor(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("only a regular file opens, and nothing waits for a pipe's writer") {
  const TemporaryDirectory directory;
  REQUIRE(::mkfifo(directory.file("pipe").c_str(), 0600) == 0);
  CHECK(open_code(directory.file("pipe")) == "ERR_FILE_READ");
  CHECK(open_code(directory.file("")) == "ERR_FILE_READ");
  CHECK(open_code("/dev/zero") == "ERR_FILE_READ");
  CHECK(open_code(directory.file("missing")) == "ERR_CHECKPOINT_NOT_FOUND");
  CHECK(open_code(directory.write("plain", "x") + "/inside") == "ERR_CHECKPOINT_NOT_FOUND");
  REQUIRE(::symlink("loop", directory.file("loop").c_str()) == 0);
  CHECK(open_code(directory.file("loop")) == "ERR_FILE_READ");
}

TEST_CASE("a file that shrinks while it is read is an error") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("x", "0123456789");
  const File file = File::open_for_reading(path);
  REQUIRE(::truncate(path.c_str(), 4) == 0);
  const auto call = [&] { read(file, 0, 10); };
  CHECK(error_code(call) == "ERR_FILE_CHANGED");
  CHECK(error_message(call).find(path) != std::string::npos);
  CHECK(error_message(call).find("byte 4") != std::string::npos);
}

TEST_CASE("create never overwrites, and says why it failed") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("x", "kept");
  CHECK(error_code([&] { File::create(path); }) == "ERR_OUTPUT_WRITE");
  CHECK(read(File::open_for_reading(path), 0, 4) == "kept");
  CHECK(error_code([&] { File::create(directory.file("missing/x")); }) == "ERR_OUTPUT_WRITE");
}

TEST_CASE("a full disk and a failed write have their own codes") {
  const int full = ::open("/dev/full", O_WRONLY);
  REQUIRE(full >= 0);
  const TemporaryDirectory directory;
  const File file = File::create(directory.file("x"));
  REQUIRE(::dup2(full, file.descriptor()) >= 0);
  CHECK(error_code([&] { file.write_all(bytes_of("x"), 0); }) == "ERR_DISK_FULL");
  ::close(full);
  CHECK(error_code([&] { File::open_for_reading(directory.file("x")).write_all(bytes_of("x"), 0); }) ==
        "ERR_OUTPUT_WRITE");
}

TEST_CASE("a write past the limit on file sizes is written up to the limit, then refused") {
  const TemporaryDirectory directory;
  const File file = File::create(directory.file("x"));
  struct rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {4096, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string bytes(10'000, 'x');
  const std::string code = error_code([&] { file.write_all(bytes_of(bytes), 0); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(code == "ERR_OUTPUT_WRITE");
  CHECK(file.size() == 4096);
}

TEST_CASE("a moved file has one owner") {
  const TemporaryDirectory directory;
  File first = File::open_for_reading(directory.write("x", "x"));
  const int descriptor = first.descriptor();
  File second = std::move(first);
  CHECK(second.descriptor() == descriptor);
  CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move)
  second = File::open_for_reading(directory.write("y", "y"));
  CHECK(read(second, 0, 1) == "y");
  CHECK(second.path() == directory.file("y"));
}

TEST_CASE("use_direct_io says whether the file system takes it") {
  const TemporaryDirectory directory;
  const File file = File::open_for_reading(directory.write("x", "x"));
  const bool direct = file.use_direct_io();
  CHECK(((::fcntl(file.descriptor(), F_GETFL) & O_DIRECT) != 0) == direct);
}

TEST_CASE("read_header reads, checks and hashes the header of a file") {
  const TemporaryDirectory directory;
  const std::string head = std::string("\x40\0\0\0\0\0\0\0", 8) +
                           R"({"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}         )";
  REQUIRE(head.size() == 72);
  const HeaderFile read = read_header(directory.write("x.safetensors", head + "1234"));
  CHECK(read.bytes == 76);
  CHECK(read.header.data_begin == 72);
  CHECK(read.header.tensors.at(0).end == 76);
  CHECK(read.header_hash == xxh64(bytes_of(head)));
}

TEST_CASE("read_header refuses a file that is not what its first bytes say") {
  const TemporaryDirectory directory;
  const auto code = [&](std::string_view bytes) {
    return error_code([&] { read_header(directory.write("bad.safetensors", bytes)); });
  };
  CHECK(code("") == "ERR_HEADER_TOO_SMALL");
  CHECK(code(std::string(7, '\0')) == "ERR_HEADER_TOO_SMALL");
  CHECK(code(std::string("\x02\0\0\0\0\0\0\0{}x", 11)) == "ERR_FILE_LENGTH");
  CHECK(code(std::string("\x02\0\0\0\0\0\0\0{", 9)) == "ERR_HEADER_LENGTH");
  CHECK(error_code([&] { read_header(directory.file("missing")); }) == "ERR_CHECKPOINT_NOT_FOUND");
}

}  // namespace
}  // namespace branchmerge
