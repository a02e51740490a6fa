#include "sft/parallel/connect.h"

#include <string>

#include "base/error.h"
#include "sft/parallel/local_collectives.h"
#ifdef BRANCHMERGE_MPI
#include "sft/parallel/mpi_collectives.h"
#endif

namespace branchmerge::sft {
namespace {

// Divided by some hundred processes, messages are still large enough that their latency (some 10 µs) is small
// beside their transfer; and it stays in a last-level cache.
constexpr uint64_t kMpiBufferBytes = 16 << 20;

}  // namespace

uint64_t communication_bytes(size_t processes) { return processes == 1 ? 0 : kMpiBufferBytes; }

std::unique_ptr<Collectives> connect_processes(const LaunchEnvironment& environment) {
  if (environment.size == 1) return std::make_unique<LocalCollectives>();
  const std::string said = environment.size_variable + " says " + std::to_string(environment.size);
#ifdef BRANCHMERGE_MPI
  auto processes = std::make_unique<MpiCollectives>(kMpiBufferBytes);
  // srun without the matching PMI starts processes each of which is a world of its own.
  if (processes->size() != environment.size)
    throw Error("ERR_MPI", "Expected as many processes in MPI's world as " + said + " but found " +
                               std::to_string(processes->size()) +
                               ". Start with the mpirun of the MPI that the trainer was built with, or with "
                               "srun --mpi=pmix.");
  return processes;
#else
  throw Error("ERR_MPI_MISSING",
              "Expected a trainer built with MPI for several processes (" + said +
                  ") but this one was built without. Install an MPI (Debian: libopenmpi-dev openmpi-bin) and "
                  "build again, or start one process.");
#endif
}

}  // namespace branchmerge::sft
