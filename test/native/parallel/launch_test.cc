#include <doctest/doctest.h>

#include <map>
#include <string>
#ifdef BRANCHMERGE_MPI
#include <mpi.h>
#endif

#include "../error_code.h"
#include "sft/parallel/connect.h"

namespace branchmerge::sft {
namespace {

LaunchEnvironment read(const std::map<std::string, std::string>& environment) {
  return read_launch_environment([&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST_CASE("rank and size come from the launcher's variables, the innermost launcher first") {
  struct Row {
    std::map<std::string, std::string> environment;
    size_t rank, size;
    std::string variable;
  };
  const Row rows[] = {
      {{}, 0, 1, ""},
      {{{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}, 3, 4, "OMPI_COMM_WORLD_SIZE"},
      {{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}, 1, 2, "PMI_SIZE"},
      {{{"PMIX_RANK", "5"}, {"PMIX_SIZE", "6"}}, 5, 6, "PMIX_SIZE"},
      {{{"SLURM_PROCID", "7"}, {"SLURM_STEP_NUM_TASKS", "8"}}, 7, 8, "SLURM_STEP_NUM_TASKS"},
      // srun with PMIx: the library sets the rank alone.
      {{{"PMIX_RANK", "1"}, {"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}},
       1,
       2,
       "SLURM_STEP_NUM_TASKS"},
      // mpirun inside a step of Slurm.
      {{{"OMPI_COMM_WORLD_RANK", "1"},
        {"OMPI_COMM_WORLD_SIZE", "2"},
        {"SLURM_PROCID", "0"},
        {"SLURM_STEP_NUM_TASKS", "1"}},
       1,
       2,
       "OMPI_COMM_WORLD_SIZE"},
      // A batch script that starts the trainer itself.
      {{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "16"}, {"SLURM_NPROCS", "16"}}, 0, 1, ""},
      {{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}, 0, 1, "OMPI_COMM_WORLD_SIZE"},
  };
  for (const Row& row : rows) {
    const LaunchEnvironment found = read(row.environment);
    CHECK(found.rank == row.rank);
    CHECK(found.size == row.size);
    CHECK(found.size_variable == row.variable);
  }
}

TEST_CASE("values that are no rank and size are refused with the variable's name") {
  struct Pair {
    const char *rank, *size;
  };
  const Pair bad[] = {
      {"4", "4"}, {"0", "0"}, {"x", "4"}, {"-1", "4"}, {"0", ""}, {"0", "4 "}, {"0", "99999999999999999999"}};
  for (const Pair& pair : bad) {
    CAPTURE(pair.rank);
    CAPTURE(pair.size);
    const auto call = [&] { read({{"PMI_RANK", pair.rank}, {"PMI_SIZE", pair.size}}); };
    CHECK(error_code(call) == "ERR_INVALID_ARGUMENT");
    CHECK(error_message(call).find("PMI_") != std::string::npos);
  }
}

TEST_CASE("one process is connected without MPI") {
  for (const LaunchEnvironment& environment : {LaunchEnvironment{}, LaunchEnvironment{0, 1, "PMI_SIZE"}}) {
    const auto collectives = connect_processes(environment);
    CHECK(collectives->rank() == 0);
    CHECK(collectives->size() == 1);
    CHECK(collectives->buffer_bytes() == communication_bytes(1));
  }
#ifdef BRANCHMERGE_MPI
  int initialised = 0;
  MPI_Initialized(&initialised);
  CHECK_FALSE(initialised);
#endif
}

#ifndef BRANCHMERGE_MPI
TEST_CASE("several processes need a build with MPI") {
  const auto call = [] { connect_processes({1, 4, "SLURM_STEP_NUM_TASKS"}); };
  CHECK(error_code(call) == "ERR_MPI_MISSING");
  CHECK(error_message(call).find("SLURM_STEP_NUM_TASKS says 4") != std::string::npos);
}
#endif

}  // namespace
}  // namespace branchmerge::sft
