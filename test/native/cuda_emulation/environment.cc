// The machine that an environment variable describes, for the addon with emulated devices. Read when devices
// are sought, which comes before all else, and again when it has changed:
//
//   CUDA_EMULATION="devices=2 memory=1048576 old=1 driver=12040 error=802 milliseconds=5 fail_launch=3:214"
//
// old: number of a device of compute capability 7.5; driver: as cudaDriverGetVersion says it; error: what
// counting devices answers; milliseconds: that a kernel takes; the others as in device.h, failures as
// N:ERROR.
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "device.h"

namespace cuda_emulation {
namespace {

struct Field {
  std::string name;
  uint64_t value = 0, error = 0;

  explicit Field(const std::string& text) {
    char separator = 0;
    std::istringstream parts(text);
    std::getline(parts, name, '=');
    parts >> value;
    if (!parts) throw std::invalid_argument("Expected NAME=NUMBER in CUDA_EMULATION but received " + text);
    parts >> separator >> error;
  }
};

bool describe(Machine& machine, const Field& field) {
  if (field.name == "devices") return machine.devices = int(field.value), true;
  if (field.name == "memory") return machine.memory_bytes = field.value, true;
  if (field.name == "old") return machine.old_device = int(field.value), true;
  if (field.name == "driver") return machine.driver = int(field.value), true;
  if (field.name == "error") return machine.unavailable = cudaError_t(field.value), true;
  if (field.name == "milliseconds") return machine.kernel_milliseconds = int(field.value), true;
  if (field.name == "idle_until_registered") return machine.idle_until_registered = field.value != 0, true;
  return false;
}

void fail(const Field& field) {
  const auto error = cudaError_t(field.error);
  if (field.name == "fail_launch") return fail_launch(field.value, error);
  if (field.name == "fail_call") return fail_call(field.value, error);
  if (field.name == "fail_device_allocation") return fail_device_allocation(field.value);
  if (field.name == "fail_pinned_allocation") return fail_pinned_allocation(field.value);
  throw std::invalid_argument("CUDA_EMULATION knows no " + field.name);
}

void read_environment() {
  static std::string read = "none yet";
  const char* value = std::getenv("CUDA_EMULATION");
  const std::string text = value == nullptr ? "" : value;
  if (text == read) return;
  read = text;
  Machine machine;
  std::vector<Field> failures;
  std::istringstream words(text);
  for (std::string word; words >> word;)
    if (const Field field(word); !describe(machine, field)) failures.push_back(field);
  reset(machine);
  for (const Field& failure : failures) fail(failure);
}

[[maybe_unused]] const bool kRead = (when_devices_are_sought(read_environment), true);

}  // namespace
}  // namespace cuda_emulation
