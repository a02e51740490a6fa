#pragma once
#include <memory>

#include "sft/parallel/collectives.h"
#include "sft/parallel/launch_environment.h"

namespace branchmerge::sft {

/// The collectives of this process as its launcher started it: local for one process, which never touches
/// MPI, and MPI for several. Throws ERR_MPI_MISSING when there are several and this build has no MPI, and
/// ERR_MPI when MPI connects another number of processes than the launcher started.
std::unique_ptr<Collectives> connect_processes(const LaunchEnvironment& environment);

/// buffer_bytes() of the collectives that connect so many processes.
uint64_t communication_bytes(size_t processes);

}  // namespace branchmerge::sft
