#include "sft/train/tensorboard_file.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "../error_code.h"
#include "../temporary_directory.h"

namespace branchmerge::sft {
namespace {

TEST_CASE("CRC-32C of the vectors of RFC 3720 and of the usual check") {
  CHECK(crc32c(bytes_of("123456789")) == 0xe3069283);
  CHECK(crc32c(bytes_of("")) == 0);
  CHECK(crc32c(bytes_of(std::string(32, '\0'))) == 0x8a9136aa);
  CHECK(crc32c(bytes_of(std::string(32, '\xff'))) == 0x62a8ab43);
  std::string ascending, descending;
  for (int i = 0; i < 32; i++) ascending += char(i), descending += char(31 - i);
  CHECK(crc32c(bytes_of(ascending)) == 0x46dd794e);
  CHECK(crc32c(bytes_of(descending)) == 0x113fdb5c);
}

/// The check value bit by bit, apart from the table's.
uint32_t slow_masked_crc(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= uint8_t(byte);
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

struct Field {
  uint64_t number;   // of a varint, or the bits of a fixed one
  std::string text;  // of one with a length
};
using Message = std::multimap<unsigned, Field>;

/// A protocol buffer taken apart by the rules of its wire format.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  Message read() {
    Message message;
    while (at_ < bytes_.size()) {
      const uint64_t tag = varint();
      Field field{0, ""};
      if (tag % 8 == 0) field.number = varint();
      if (tag % 8 == 1) field.number = fixed(8);
      if (tag % 8 == 2) {
        const uint64_t length = varint();
        field.text = bytes_.substr(at_, length);
        at_ += length;
      }
      if (tag % 8 == 5) field.number = fixed(4);
      message.emplace(unsigned(tag / 8), field);
    }
    REQUIRE(at_ == bytes_.size());
    return message;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE(at_ < bytes_.size());
      const uint8_t byte = uint8_t(bytes_[at_++]);
      value |= uint64_t(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  uint64_t fixed(size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value |= uint64_t(uint8_t(bytes_[at_++])) << (8 * i);
    return value;
  }

  std::string_view bytes_;
  size_t at_ = 0;
};

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); i++) value |= uint64_t(uint8_t(bytes[i])) << (8 * i);
  return value;
}

std::vector<Message> read_records(const std::string& file) {
  std::vector<Message> events;
  const std::string_view all = file;
  for (size_t at = 0; at < all.size();) {
    const uint64_t length = little_endian(all.substr(at, 8));
    CHECK(little_endian(all.substr(at + 8, 4)) == slow_masked_crc(all.substr(at, 8)));
    const std::string_view data = all.substr(at + 12, length);
    REQUIRE(data.size() == length);
    CHECK(little_endian(all.substr(at + 12 + length, 4)) == slow_masked_crc(data));
    events.push_back(WireReader(data).read());
    at += 16 + length;
  }
  return events;
}

double as_double(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

float as_float(uint64_t bits) {
  const auto low = uint32_t(bits);
  float value;
  std::memcpy(&value, &low, sizeof value);
  return value;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("the file is what TensorBoard reads") {
  const TemporaryDirectory directory;
  TensorBoardFile file(directory.file("."), 7, 1700000000.5);
  file.add(8, 1700000001.25, {{"train/loss", 1.5F}, {"train/learning_rate", 1e-5F}});
  file.add(300, 1700000002, {{"validation/loss", 2.5F}});
  CHECK(file.path().find("/events.out.tfevents.1700000000.") != std::string::npos);

  const std::string bytes = read_file(file.path());
  // As every event file of TensorFlow's begins.
  CHECK(bytes.substr(0, 12) == std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12));
  const auto events = read_records(bytes);
  REQUIRE(events.size() == 4);
  CHECK(as_double(events[0].find(1)->second.number) == 1700000000.5);
  CHECK(events[0].find(3)->second.text == "brain.Event:2");
  CHECK(events[1].find(2)->second.number == 8);
  CHECK(WireReader(events[1].find(7)->second.text).read().find(1)->second.number == 1);  // SessionLog.START
  CHECK(as_double(events[2].find(1)->second.number) == 1700000001.25);
  CHECK(events[2].find(2)->second.number == 8);
  std::map<std::string, float> scalars;
  const Message summary = WireReader(events[2].find(5)->second.text).read();
  CHECK(summary.count(1) == 2);
  for (const auto& [_, field] : summary) {
    const Message value = WireReader(field.text).read();
    scalars[value.find(1)->second.text] = as_float(value.find(2)->second.number);
  }
  CHECK(scalars == std::map<std::string, float>{{"train/loss", 1.5F}, {"train/learning_rate", 1e-5F}});
  CHECK(events[3].find(2)->second.number == 300);
}

TEST_CASE("two files of one second have two names") {
  const TemporaryDirectory directory;
  const TensorBoardFile first(directory.file("."), 0, 5), second(directory.file("."), 0, 5);
  CHECK(first.path() != second.path());
}

}  // namespace
}  // namespace branchmerge::sft
