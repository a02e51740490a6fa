#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "io/file.h"
#include "sft/train/event_log.h"
#include "sft/train/heartbeat.h"
#include "sft/train/tensorboard_file.h"

namespace branchmerge::sft {

/// What a step is reported by.
struct StepReport {
  uint64_t step;  // the number of the step, from 1
  double epoch;   // done, with fraction
  double loss, gradient_norm, learning_rate;
  uint64_t tokens, trained_tokens;  // of all processes
  double seconds;
  double flops_per_second;  // model FLOP/s of one process
  bool skipped;
  uint64_t peak_bytes;  // resident memory, the most of all processes so far
};

/// The directory <output>/training and what tells of a run there: events, TensorBoard file, heartbeats. Only
/// rank 0 writes, but for heartbeats.
class RunLog {
 public:
  RunLog(std::string output, size_t rank);

  /// Makes the directories and locks the run's: ERR_OUTPUT_EXISTS when another process trains there. The
  /// others may go on when rank 0 has returned.
  void make_directories();
  /// Begins the heartbeat of this process.
  void start_heartbeat() { heartbeat_.emplace(training_, rank_); }
  /// Opens the files for a run that goes on behind `step`.
  void open(uint64_t step);

  void emit(const JsonLine& event);
  /// What was emitted and reported survives a crash of the machine.
  void sync() const;
  void report_step(const StepReport& report);
  void report_validation(uint64_t step, double loss);
  /// A string literal, see Heartbeat.
  void set_phase(const char* phase);

  const std::string& output() const { return output_; }
  std::string snapshots() const { return training_ + "/checkpoints"; }
  std::string export_staging() const { return training_ + "/export"; }

 private:
  const std::string output_, training_;
  const size_t rank_;
  File lock_;
  EventLog events_;
  std::optional<TensorBoardFile> tensorboard_;
  std::optional<Heartbeat> heartbeat_;
};

}  // namespace branchmerge::sft
