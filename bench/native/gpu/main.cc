// What one GPU gets through, beside what it copies, and whether it computes what the CPU does. bench/gpu.sh
// runs it, part by part:
//
//   gpu device      [--device N] [--small]
//   gpu check       [--device N] [--small] --golden DIRECTORY
//   gpu kernels     [--device N] [--small] [--tile DIRECTORY]
//   gpu checkpoints [--device N] [--small] --dir DIRECTORY
//
// --small: small shapes, once, for compute-sanitizer and for the emulation. --tile: writes the pair that all
// tensors are made of as left.bf16 and right.bf16, for bench/textbook.py.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <map>

#include "base/error.h"
#include "cuda/runtime.h"
#include "parts.h"

namespace branchmerge {

Tile make_tile() {
  const auto to_bf16 = [](float value) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  };
  uint64_t state = 1;
  const auto bell = [&] {
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += float(next_random(state)) * 0x1p-31f - 0.5f;
    return sum * 1.732f;
  };
  // Weights of standard deviation 0.02, and a fine-tune of them.
  Tile tile;
  for (uint64_t i = 0; i < Tile::kElements; i++) {
    const float weight = 0.02f * bell();
    tile.left.push_back(to_bf16(weight));
    tile.right.push_back(to_bf16(weight + 5e-4f * bell()));
  }
  return tile;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

namespace {

using Part = void (*)(const Settings&);
const std::map<std::string, Part> kParts{{"device", describe_device},
                                         {"check", check_fusions},
                                         {"kernels", measure_kernels},
                                         {"checkpoints", measure_checkpoints}};

[[noreturn]] void refuse() {
  throw Error("ERR_INVALID_ARGUMENT",
              "Usage: gpu device|check|kernels|checkpoints [--device N] [--small] [--golden DIRECTORY] "
              "[--tile DIRECTORY] [--dir DIRECTORY]");
}

Settings settings_of(int count, char** arguments) {
  Settings settings;
  for (int i = 2; i < count; i++) {
    const std::string argument = arguments[i];
    if (argument == "--small") {
      settings.small = true;
      continue;
    }
    if (++i == count) refuse();
    if (argument == "--device")
      settings.device = std::stoi(arguments[i]);
    else if (argument == "--golden")
      settings.golden = arguments[i];
    else if (argument == "--tile")
      settings.tile = arguments[i];
    else if (argument == "--dir")
      settings.directory = arguments[i];
    else
      refuse();
  }
  return settings;
}

void run(int count, char** arguments) {
  const auto part = count > 1 ? kParts.find(arguments[1]) : kParts.end();
  if (part == kParts.end()) refuse();
  const Settings settings = settings_of(count, arguments);
  cuda::check(cudaSetDevice(settings.device), "start");
  part->second(settings);
}

}  // namespace
}  // namespace branchmerge

int main(int count, char** arguments) {
  try {
    branchmerge::run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu: %s\n", error.what());
    return 1;
  }
}
