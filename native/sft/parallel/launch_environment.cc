#include "sft/parallel/launch_environment.h"

#include <charconv>
#include <cstring>

#include "base/error.h"

namespace branchmerge::sft {
namespace {

struct Variables {
  const char *rank, *size;
};
constexpr Variables kOpenMpi = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"};
constexpr Variables kPmi = {"PMI_RANK", "PMI_SIZE"};
constexpr Variables kPmix = {"PMIX_RANK", "PMIX_SIZE"};
constexpr Variables kSlurm = {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"};

size_t parse_count(const char* name, const char* text) {
  size_t count = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, status] = std::from_chars(text, end, count);
  if (text == end || stop != end || status != std::errc())
    throw Error("ERR_INVALID_ARGUMENT", std::string("Expected a number for ") + name +
                                            " in the environment but received \"" + text +
                                            "\". Start the processes with mpirun or srun.");
  return count;
}

}  // namespace

LaunchEnvironment read_launch_environment(const std::function<const char*(const char* name)>& variable) {
  // Halves are common: PMIx itself sets no size, and a batch script of Slurm has SLURM_PROCID.
  for (const Variables& pair : {kOpenMpi, kPmi, kPmix, kSlurm}) {
    const char* const rank = variable(pair.rank);
    const char* const size = variable(pair.size);
    if (!rank || !size) continue;
    LaunchEnvironment found = {parse_count(pair.rank, rank), parse_count(pair.size, size), pair.size};
    if (found.rank >= found.size)
      throw Error("ERR_INVALID_ARGUMENT", std::string("Expected ") + pair.rank + " below " + pair.size +
                                              " in the environment but received " + rank + " and " + size +
                                              ". Start the processes with mpirun or srun.");
    return found;
  }
  return {};
}

}  // namespace branchmerge::sft
