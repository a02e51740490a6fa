#include "safetensors/copy_tensors.h"

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>

#include "error_code.h"
#include "temporary_directory.h"

namespace branchmerge {
namespace {

/// A file of sixteen float32, 0 to 15, behind four bytes of something else.
class Setting {
 public:
  Setting() {
    std::vector<float> values(16);
    std::iota(values.begin(), values.end(), 0.0F);
    const std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    directory_.write("in", "head" + std::string(bytes));
  }

  std::string input() const { return directory_.file("in"); }
  std::string output() const { return directory_.file("out"); }
  CopyPlan plan(TensorCopy tensor) const { return {output(), 128, {{input(), 68}}, {tensor}}; }
  std::string read() const {
    std::ifstream file(output(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  const TemporaryDirectory directory_;
};

const TensorCopy kWhole{"weight", 0, 4, 68, DType::F32, DType::F32, 64, 0, 0};

void copy(const CopyPlan& plan, bool cancelled = false, std::string_view header = "HEAD") {
  copy_tensors(
      plan, bytes_of(header), [](uint64_t) {}, std::atomic<bool>(cancelled));
}

std::vector<float> floats(const std::string& bytes, size_t begin, size_t count) {
  std::vector<float> values(count);
  std::memcpy(values.data(), bytes.data() + begin, count * sizeof(float));
  return values;
}

TEST_CASE("copies tensors to their places, with zeros between") {
  const Setting setting;
  copy(setting.plan(kWhole));
  const std::string file = setting.read();
  REQUIRE(file.size() == 128);
  CHECK(file.substr(0, 4) == "HEAD");
  CHECK(file.substr(4, 60) == std::string(60, '\0'));
  std::vector<float> expected(16);
  std::iota(expected.begin(), expected.end(), 0.0F);
  CHECK(floats(file, 64, 16) == expected);
}

TEST_CASE("interleaves the halves of each head's rows") {
  const Setting setting;
  TensorCopy tensor = kWhole;
  tensor.head_rows = 4;  // two heads of four rows of two
  tensor.row_elements = 2;
  copy(setting.plan(tensor));
  CHECK(floats(setting.read(), 64, 16) ==
        std::vector<float>{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15});
}

TEST_CASE("converts") {
  const Setting setting;
  TensorCopy tensor = kWhole;
  tensor.output_dtype = DType::BF16;
  copy(setting.plan(tensor));
  const std::string file = setting.read();
  CHECK(file.substr(64 + 2 * 3, 2) == std::string("\x40\x40"));  // 3
}

TEST_CASE("names the element that the output cannot hold by its place in the input") {
  const Setting setting;
  const auto put = [&](float value) {
    std::fstream file(setting.input(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(4 + 4 * 5);
    file.write(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  TensorCopy tensor = kWhole;
  tensor.output_dtype = DType::F16;
  tensor.head_rows = 4;
  tensor.row_elements = 2;
  const auto code = [&] { return error_code([&] { copy(setting.plan(tensor)); }); };
  put(65504);
  CHECK(code().empty());
  std::filesystem::remove(setting.output());
  put(65520);
  const std::string message = error_message([&] { copy(setting.plan(tensor)); });
  CHECK(message.find("'weight'") != std::string::npos);
  CHECK(message.find("element 5 is 65520, more than F16") != std::string::npos);
  std::filesystem::remove(setting.output());
  put(std::numeric_limits<float>::quiet_NaN());
  CHECK(code() == "ERR_NON_FINITE");
}

TEST_CASE("refuses a plan that does not fit its files, and an input that changed") {
  const Setting setting;
  const auto code = [&](const TensorCopy& tensor) { return error_code([&] { copy(setting.plan(tensor)); }); };
  const auto with = [](auto change) {
    TensorCopy tensor = kWhole;
    change(tensor);
    return tensor;
  };
  for (const TensorCopy& tensor :
       {with([](TensorCopy& t) { t.input = 1; }), with([](TensorCopy& t) { t.end = 72; }),
        with([](TensorCopy& t) { t.begin = 69; }), with([](TensorCopy& t) { t.begin = 5; }),
        with([](TensorCopy& t) { t.output_begin = 3; }), with([](TensorCopy& t) { t.output_begin = 65; }),
        with([](TensorCopy& t) { t.output_dtype = DType::I32; }),
        with([](TensorCopy& t) { t.head_rows = 3, t.row_elements = 1; }),
        with([](TensorCopy& t) { t.head_rows = 4, t.row_elements = 0; }),
        with([](TensorCopy& t) { t.head_rows = 4, t.row_elements = 3; })}) {
    CHECK(code(tensor) == "ERR_INVALID_ARGUMENT");
    CHECK_FALSE(std::filesystem::exists(setting.output()));
  }
  CHECK(error_code([&] { copy(setting.plan(kWhole), false, std::string(129, 'x')); }) ==
        "ERR_INVALID_ARGUMENT");
  CHECK(error_code([&] { copy(setting.plan(kWhole), true); }) == "ERR_CANCELLED");
  std::filesystem::remove(setting.output());
  std::filesystem::resize_file(setting.input(), 60);
  CHECK(code(kWhole) == "ERR_FILE_CHANGED");
  std::filesystem::remove(setting.input());
  CHECK(code(kWhole) == "ERR_CHECKPOINT_NOT_FOUND");
}

TEST_CASE("a value that does not fit the output's dtype is refused") {
  const Setting setting;
  const float large = 70000;
  std::fstream file(setting.input(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4 + 5 * 4);
  file.write(reinterpret_cast<const char*>(&large), sizeof large);
  file.close();
  TensorCopy tensor = kWhole;
  tensor.output_dtype = DType::F16;
  CHECK(error_code([&] { copy(setting.plan(tensor)); }) == "ERR_NON_FINITE");
}

TEST_CASE("sizes that wrap around are refused") {
  const Setting setting;
  TensorCopy behind = kWhole, wide = kWhole;
  behind.output_begin = 132;  // behind the end of the output
  wide.head_rows = wide.row_elements = uint64_t(1) << 32;
  for (const TensorCopy& tensor : {behind, wide})
    CHECK(error_code([&] { copy(setting.plan(tensor)); }) == "ERR_INVALID_ARGUMENT");
}

}  // namespace
}  // namespace branchmerge
