// branchmerge-trainer RUN.json [--plan]: see docs/sft-trainer.md.
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sft/parallel/connect.h"
#include "sft/parallel/launch_environment.h"
#include "sft/train/json_line.h"
#include "sft/train/listener_watch.h"
#include "sft/train/mean_gradient.h"
#include "sft/train/process_memory.h"
#include "sft/train/run_file.h"
#include "sft/train/run_log.h"
#include "sft/train/run_setup.h"
#include "sft/train/stop_signals.h"
#include "sft/train/trainer.h"

namespace branchmerge::sft {
namespace {

constexpr const char* kUsage =
    "Usage: branchmerge-trainer RUN.json [--plan] [--attached]\n"
    "       branchmerge-trainer RUN.json --gradient=PACKS\n"
    "Trains as the run file says, in one process or, under mpirun, in many. branchmerge sft writes it.\n"
    "  --plan  print what it would do and need, as one JSON object, and train nothing\n"
    "  --gradient=PACKS  write the mean gradient of the model over so many packs, and train nothing\n"
    "  --attached  save and end, as for SIGTERM, when standard input ends: whoever started it is gone\n"
    "  --help  print this\n";

constexpr int kLargeBlockBytes = 256 << 10;
constexpr int kExitDone = 0, kExitFailure = 1, kExitUsage = 2;

/// One line in one write, so that the lines of several processes do not mix.
void report_failure(std::string_view code, std::string_view message, size_t rank) {
  JsonLine line;
  line.text("event", "error").text("code", code).text("message", message).integer("rank", rank);
  const std::string text = line.json() + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

/// All processes plan with the largest of their bases, so that they agree on what fits.
void agree_on_base(MemoryPlan& memory, Collectives& collectives) {
  int64_t base = int64_t(memory.process_base);
  collectives.all_reduce_max(std::span(&base, 1));
  memory.process_base = uint64_t(base);
}

/// Whether the end of stdin tells that nobody listens any more. srun without input gives tasks /dev/null.
bool has_listener() {
  struct stat status;
  return ::fstat(STDIN_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

int train(const RunFile& run, Collectives& collectives, bool attached) {
  std::optional<ListenerWatch> listener;
  if (attached && collectives.rank() == 0 && has_listener()) listener.emplace(STDIN_FILENO);
  RunLog log(run.output, collectives.rank());
  RunSetup setup = set_up_run(run, collectives.rank(), collectives.size());
  agree_on_base(setup.memory, collectives);
  JsonLine plan;
  plan.text("event", "plan");
  log.emit(plan_json(setup, plan));
  check_memory(setup.memory, run.memory_bytes);
  log.make_directories();
  collectives.barrier();
  log.start_heartbeat();

  Trainer trainer(setup, collectives, log);
  const StopRequest stop = trainer.run();
  constexpr const char* kReasons[] = {"done", "requeue", "interrupted"};
  constexpr int kExits[] = {kExitDone, kExitRequeue, kExitInterrupted};
  JsonLine end;
  end.text("event", "end").integer("step", trainer.step()).text("reason", kReasons[int(stop)]);
  end.integer("peakBytes", peak_resident_bytes()).integer("plannedBytes", setup.memory.total());
  log.emit(end);
  log.sync();
  log.set_phase("ended");
  // A launcher may end the others when one has ended.
  collectives.barrier();
  return kExits[int(stop)];
}

/// For as many processes as the environment says; they need not be there.
int print_plan(const RunFile& run, const LaunchEnvironment& environment) {
  const RunSetup setup = set_up_run(run, environment.rank, environment.size);
  if (environment.rank == 0) std::puts(plan_json(setup, {}).json().c_str());
  return kExitDone;
}

/// In this process alone.
int write_gradient(const RunFile& run, uint64_t packs) {
  const RunSetup setup = set_up_run(run, 0, 1);
  const auto report = [&](uint64_t done, uint64_t total) {
    JsonLine line;
    line.text("event", "progress").integer("packs", done).integer("of", total);
    std::puts(line.json().c_str());
    std::fflush(stdout);
  };
  const std::optional<MeanGradient> gradient = write_mean_gradient(setup, packs, report);
  if (!gradient) return kExitInterrupted;
  JsonLine line;
  line.text("event", "gradient").integer("packs", gradient->packs).integer("tokens", gradient->tokens);
  line.integer("trainedTokens", gradient->trained_tokens).number("loss", gradient->loss);
  std::puts(line.number("norm", gradient->norm).json().c_str());
  return kExitDone;
}

/// The exit code of this process when `call` throws.
template <typename Call>
int report_failures(size_t rank, Call call) {
  try {
    return call();
  } catch (const Error& error) {
    report_failure(error.code, error.what(), rank);
  } catch (const std::bad_alloc&) {
    report_failure("ERR_OUT_OF_MEMORY",
                   "The machine has no memory left. Use more processes, or smaller batches", rank);
  } catch (const std::exception& error) {
    report_failure("ERR_INTERNAL", error.what(), rank);
  }
  return kExitFailure;
}

int main_of_process(std::string_view run_path, bool plan_only, bool attached,
                    std::optional<uint64_t> gradient_packs) {
  catch_stop_signals();
  // Fixed, so that large blocks go back to the system when they are freed and the memory plan holds.
  mallopt(M_MMAP_THRESHOLD, kLargeBlockBytes);
  LaunchEnvironment environment;
  RunFile run{};
  int status = report_failures(0, [&] {
    environment = read_launch_environment([](const char* name) { return std::getenv(name); });
    return kExitDone;
  });
  if (status != kExitDone) return status;
  status = report_failures(environment.rank, [&] {
    run = read_run_file(std::string(run_path));
    return kExitDone;
  });
  if (status != kExitDone) return kExitUsage;

  if (gradient_packs) return report_failures(0, [&] { return write_gradient(run, *gradient_packs); });
  if (plan_only) return report_failures(environment.rank, [&] { return print_plan(run, environment); });
  return report_failures(environment.rank, [&] {
    const auto collectives = connect_processes(environment);
    const int result = report_failures(environment.rank, [&] { return train(run, *collectives, attached); });
    // The others wait for this one.
    if (result == kExitFailure && collectives->size() > 1) collectives->abort(result);
    return result;
  });
}

int refuse_arguments(const std::string& problem) {
  std::fprintf(stderr, "%s\n%s", problem.c_str(), kUsage);
  return kExitUsage;
}

int main_of_command(std::span<char*> arguments) {
  std::string_view run_path;
  bool plan_only = false, attached = false;
  std::optional<uint64_t> gradient_packs;
  constexpr std::string_view kGradient = "--gradient=";
  for (const std::string_view argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      std::fputs(kUsage, stdout);
      return kExitDone;
    }
    if (argument == "--plan") {
      plan_only = true;
    } else if (argument == "--attached") {
      attached = true;
    } else if (argument.starts_with(kGradient)) {
      const std::string_view digits = argument.substr(kGradient.size());
      uint64_t packs = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), packs);
      if (error != std::errc() || end != digits.data() + digits.size() || packs == 0)
        return refuse_arguments("Expected a number of packs, 1 or more, but received " +
                                std::string(argument));
      gradient_packs = packs;
    } else if (argument.starts_with('-')) {
      return refuse_arguments("Expected --plan, --attached, --gradient=PACKS or --help but received " +
                              std::string(argument));
    } else if (!run_path.empty()) {
      return refuse_arguments("Expected one run file but received " + std::string(argument) + " as well");
    } else {
      run_path = argument;
    }
  }
  if (run_path.empty()) return refuse_arguments("Expected a run file");
  if (gradient_packs && plan_only) return refuse_arguments("Expected --plan or --gradient=PACKS, not both");
  return main_of_process(run_path, plan_only, attached, gradient_packs);
}

}  // namespace
}  // namespace branchmerge::sft

int main(int argc, char** argv) { return branchmerge::sft::main_of_command({argv + 1, argv + argc}); }
