#pragma once
// The parts of the GPU's benchmark. Each prints objects of JSON, one a line and at once, on standard output,
// and lines for people on standard error.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace branchmerge {

struct Settings {
  int device = 0;
  bool small = false;     // quick shapes and one repetition, for compute-sanitizer and for the emulation
  std::string golden;     // the directory of the golden cases
  std::string tile;       // where to write what tensors are made of; empty: nowhere
  std::string directory;  // for checkpoints
  int repeats() const { return small ? 1 : 11; }
};

/// The device, and what it copies.
void describe_device(const Settings& settings);
/// Fusions on the device against the CPU's bytes and figures. Throws where one differs.
void check_fusions(const Settings& settings);
/// Each kernel, and whole fusions of tensors in the device's memory.
void measure_kernels(const Settings& settings);
/// Checkpoints from the page cache, on the CPU and on the device in turn, with the same bytes. The inputs
/// stay.
void measure_checkpoints(const Settings& settings);

/// Small pseudo-random integers; nothing depends on how good they are.
inline uint32_t next_random(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return uint32_t(state >> 33);
}

/// Elements of a bf16 pair like weights and a fine-tune of them, of which larger tensors are made.
struct Tile {
  static constexpr uint64_t kElements = uint64_t(1) << 22;
  std::vector<uint16_t> left, right;
};
Tile make_tile();

/// The middle one, or the mean of the two.
double median(std::vector<double> values);

}  // namespace branchmerge
