// Alone, runs what one process can test. Under mpirun, runs the suite "processes" on all of them.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "processes.h"
#include "sft/parallel/connect.h"

namespace branchmerge::sft {
namespace {

std::unique_ptr<Collectives> processes;

void connect() {
  try {
    processes =
        connect_processes(read_launch_environment([](const char* name) { return std::getenv(name); }));
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.code, error.what());
    std::_Exit(1);
  }
}

}  // namespace

Collectives& test_processes() { return *processes; }

}  // namespace branchmerge::sft

int main(int argc, char** argv) {
  using namespace branchmerge::sft;
  connect();
  doctest::Context context(argc, argv);
  if (processes->size() > 1) context.setOption("test-suite", "processes");
  const int status = context.run();
  if (status != 0) processes->abort(status);  // the others may wait for this one
  processes.reset();
  return 0;
}
