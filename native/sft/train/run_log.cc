#include "sft/train/run_log.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/error.h"
#include "sft/train/clock.h"
#include "sft/train/durable_files.h"

namespace branchmerge::sft {
namespace {

/// Whether the path is still the file's.
bool has_name(const File& file, const std::string& path) {
  struct stat opened, named;
  return ::fstat(file.descriptor(), &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// A lock that goes with the process, however it ends. It is of the file, not of its name: a file that has
/// lost the name, to someone who removed or replaced it, excludes nobody.
File lock_run(const std::string& path) {
  for (;;) {
    File file = File::open_or_create(path);
    int status = ::flock(file.descriptor(), LOCK_EX | LOCK_NB);
    while (status != 0 && errno == EINTR) status = ::flock(file.descriptor(), LOCK_EX | LOCK_NB);
    // A file system without locks cannot tell; then nothing is refused.
    if (status != 0 && errno == EWOULDBLOCK)
      throw Error("ERR_OUTPUT_EXISTS",
                  path +
                      ": another training run is writing here. Wait for its end, or choose "
                      "another output directory");
    if (has_name(file, path)) return file;
  }
}

}  // namespace

RunLog::RunLog(std::string output, size_t rank)
    : output_(std::move(output)), training_(output_ + "/training"), rank_(rank) {}

void RunLog::make_directories() {
  if (rank_ != 0) return;
  sft::make_directories(snapshots());
  lock_ = lock_run(training_ + "/run.lock");
}

void RunLog::open(uint64_t step) {
  if (rank_ != 0) return;
  events_.open(training_ + "/metrics.jsonl", step);
  tensorboard_.emplace(training_, step, seconds_since_1970());
}

void RunLog::emit(const JsonLine& event) {
  if (rank_ == 0) events_.emit(event);
}

void RunLog::sync() const {
  events_.sync();
  if (tensorboard_) tensorboard_->sync();
}

void RunLog::report_step(const StepReport& report) {
  heartbeat_->set_step(report.step);
  if (rank_ != 0) return;
  const double tokens_per_second = double(report.tokens) / report.seconds;
  JsonLine line;
  line.text("event", "step").integer("step", report.step).number("epoch", report.epoch);
  line.number("loss", report.loss).number("gradientNorm", report.gradient_norm);
  line.number("learningRate", report.learning_rate);
  line.integer("tokens", report.tokens).integer("trainedTokens", report.trained_tokens);
  line.number("seconds", report.seconds).number("tokensPerSecond", tokens_per_second);
  line.number("flops", report.flops_per_second);
  line.boolean("skipped", report.skipped).integer("peakBytes", report.peak_bytes);
  events_.emit(line);
  tensorboard_->add(report.step, seconds_since_1970(),
                    {{"train/loss", float(report.loss)},
                     {"train/gradient_norm", float(report.gradient_norm)},
                     {"train/learning_rate", float(report.learning_rate)},
                     {"train/epoch", float(report.epoch)},
                     {"train/tokens_per_second", float(tokens_per_second)},
                     {"train/flops", float(report.flops_per_second)}});
}

void RunLog::report_validation(uint64_t step, double loss) {
  if (rank_ != 0) return;
  JsonLine line;
  events_.emit(line.text("event", "validation").integer("step", step).number("loss", loss));
  tensorboard_->add(step, seconds_since_1970(), {{"validation/loss", float(loss)}});
}

void RunLog::set_phase(const char* phase) { heartbeat_->set_phase(phase); }

}  // namespace branchmerge::sft
