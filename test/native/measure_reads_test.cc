#include "io/measure_reads.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "error_code.h"
#include "io/read_ahead.h"
#include "temporary_directory.h"

namespace branchmerge {
namespace {

constexpr uint64_t kBytes = (12 << 20) + 123;

/// Two files, written to the disk and not in the page cache where the system lets go of them.
class ColdFiles {
 public:
  ColdFiles() {
    for (const char* name : {"left", "right"}) {
      const std::string path = directory_.write(name, std::string(kBytes, 'x'));
      const int descriptor = open(path.c_str(), O_RDONLY);
      fsync(descriptor);
      posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
      close(descriptor);
      inputs_.push_back({path, kBytes});
    }
  }
  InputFiles open_all() const { return InputFiles(inputs_); }
  const std::string& path(size_t input) const { return inputs_[input].path; }

 private:
  TemporaryDirectory directory_;
  std::vector<InputFiles::Input> inputs_;
};

uint64_t cached_bytes(const InputFiles& inputs) {
  return inputs.cached_bytes({0, 0, kBytes}) + inputs.cached_bytes({1, 0, kBytes});
}

TEST_CASE("the rate of two files, from odd positions to their ends, without a trace in the page cache") {
  const ColdFiles files;
  // With direct I/O, and as where there is none.
  for (const bool direct : {true, false}) {
    InputFiles inputs = files.open_all();
    for (const size_t input : {0, 1})
      if (!direct && inputs.direct(input)) inputs.give_up_direct(input);
    const uint64_t cached = cached_bytes(inputs);
    const auto started = std::chrono::steady_clock::now();
    const std::optional<double> rate =
        measure_reads(inputs, {{{0, 1'234'567, kBytes}, {1, 5, 9 << 20}}, {{1, 9 << 20, kBytes}}});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    CHECK(cached_bytes(inputs) == cached);
    if (inputs.cached(0) || inputs.cached(1)) continue;  // on a file system in memory
    REQUIRE(rate.has_value());
    // It is not faster than if all had come within the time that measuring took, and not slower than a read.
    CHECK(*rate > double(kReadBytes) / seconds.count() / 2);
  }
}

TEST_CASE("without direct I/O, only what is not in the page cache at all is read") {
  const ColdFiles files;
  InputFiles inputs = files.open_all();
  if (inputs.cached(0)) return;  // a file system in memory
  if (inputs.direct(0)) inputs.give_up_direct(0);
  std::byte byte;
  inputs.buffered(0).read_exactly({&byte, 1}, 0);
  const uint64_t cached = cached_bytes(inputs);
  CHECK(!measure_reads(inputs, {{{0, 0, 4096}}}).has_value());
  CHECK(cached_bytes(inputs) == cached);
}

TEST_CASE("nothing to read has no rate; a file that was cut is an error") {
  const ColdFiles files;
  InputFiles inputs = files.open_all();
  CHECK(!measure_reads(inputs, {}).has_value());
  REQUIRE(truncate(files.path(0).c_str(), 1 << 20) == 0);
  CHECK(error_code([&] { measure_reads(inputs, {{{0, 4 << 20, 6 << 20}}}); }) == "ERR_FILE_CHANGED");
}

}  // namespace
}  // namespace branchmerge
