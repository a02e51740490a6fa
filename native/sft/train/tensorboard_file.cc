#include "sft/train/tensorboard_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <climits>
#include <filesystem>
#include <string_view>

namespace branchmerge::sft {
namespace {

constexpr auto kCrcTable = [] {
  constexpr uint32_t kReversedPolynomial = 0x82f63b78;
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ ((crc & 1) != 0 ? kReversedPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}();

/// TFRecord's CRC of data that may hold CRCs.
uint32_t masked_crc(std::string_view text) {
  return std::rotr(crc32c(std::as_bytes(std::span(text))), 15) + 0xa282ead8U;
}

template <typename Integer>
void append_little_endian(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof value; i++) out += char(value >> (8 * i) & 0xff);
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += char((value & 0x7f) | 0x80);
  out += char(value);
}

// The tags of fields: number << 3 | wire type, 0 a varint, 1 eight bytes, 2 a length and bytes, 5 four bytes.
void append_bytes_field(std::string& out, unsigned number, std::string_view bytes) {
  append_varint(out, number << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

void append_varint_field(std::string& out, unsigned number, uint64_t value) {
  append_varint(out, number << 3);
  append_varint(out, value);
}

void append_double_field(std::string& out, unsigned number, double value) {
  append_varint(out, number << 3 | 1);
  append_little_endian(out, std::bit_cast<uint64_t>(value));
}

void append_float_field(std::string& out, unsigned number, float value) {
  append_varint(out, number << 3 | 5);
  append_little_endian(out, std::bit_cast<uint32_t>(value));
}

/// The fields that every Event begins with: wall_time and step.
std::string event_of(uint64_t step, double time) {
  std::string event;
  append_double_field(event, 1, time);
  if (step != 0) append_varint_field(event, 2, step);
  return event;
}

/// In containers, every run may be process 1, and two may begin in the same second: the last number tells
/// them apart.
std::string free_path(const std::string& directory, double time) {
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '-';
  const std::string path = directory + "/events.out.tfevents." + std::to_string(uint64_t(time)) + "." +
                           host.data() + "." + std::to_string(getpid()) + ".";
  size_t number = 0;
  while (std::filesystem::exists(path + std::to_string(number))) number++;
  return path + std::to_string(number);
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const std::byte byte : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ uint32_t(byte)) & 0xff];
  return ~crc;
}

TensorBoardFile::TensorBoardFile(const std::string& directory, uint64_t step, double time)
    : file_(File::create(free_path(directory, time))) {
  std::string version = event_of(0, time);
  append_bytes_field(version, 3, "brain.Event:2");  // file_version
  append_record(version);
  // A SessionLog that says START makes TensorBoard drop what it has of this step and later ones.
  std::string start = event_of(step + 1, time), session;
  append_varint_field(session, 1, 1);
  append_bytes_field(start, 7, session);
  append_record(start);
}

void TensorBoardFile::add(uint64_t step, double time, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    append_bytes_field(value, 1, tag);
    append_float_field(value, 2, number);  // simple_value
    append_bytes_field(summary, 1, value);
  }
  std::string event = event_of(step, time);
  append_bytes_field(event, 5, summary);
  append_record(event);
}

void TensorBoardFile::append_record(const std::string& event) {
  std::string record;
  append_little_endian(record, uint64_t(event.size()));
  append_little_endian(record, masked_crc(record));
  record += event;
  append_little_endian(record, masked_crc(event));
  file_.write_all(std::as_bytes(std::span(std::string_view(record))), size_);
  size_ += record.size();
}

}  // namespace branchmerge::sft
