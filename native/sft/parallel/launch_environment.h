#pragma once
#include <cstddef>
#include <functional>
#include <string>

namespace branchmerge::sft {

/// What the launcher of this process (mpirun, srun) says about it.
struct LaunchEnvironment {
  size_t rank = 0, size = 1;
  std::string size_variable;  ///< the environment variable that says so; empty: no launcher
};

/// Takes the first of these pairs that is complete: OMPI_COMM_WORLD_RANK and _SIZE (OpenMPI), PMI_RANK and
/// PMI_SIZE (MPICH, Intel MPI, srun with pmi2), PMIX_RANK and PMIX_SIZE, SLURM_PROCID and
/// SLURM_STEP_NUM_TASKS (srun). SLURM_NTASKS does not count: a batch script has it before it starts anything.
/// Throws ERR_INVALID_ARGUMENT for what is not a rank and a size.
LaunchEnvironment read_launch_environment(const std::function<const char*(const char* name)>& variable);

}  // namespace branchmerge::sft
