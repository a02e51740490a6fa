#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/worker_pool.h"
#include "sft/model/decoder.h"
#include "sft/optimizer/learning_rate.h"
#include "sft/parallel/parameter_store.h"
#include "sft/train/batch_builder.h"
#include "sft/train/heartbeat.h"
#include "sft/train/pack_order.h"
#include "sft/train/run_log.h"
#include "sft/train/run_setup.h"
#include "sft/train/snapshot_reader.h"
#include "sft/train/snapshot_writer.h"
#include "sft/train/step_losses.h"
#include "sft/train/stop_signals.h"

namespace branchmerge::sft {

/// One training run on this process, from the newest snapshot or the start to the exported weights. All
/// that it writes is below the run's output directory. Every function is collective.
class Trainer {
 public:
  /// Allocates what the plan says and fills it. ERR_OUTPUT_EXISTS, ERR_RESUME, and what reading the model's
  /// weights throws.
  Trainer(RunSetup& setup, Collectives& collectives, RunLog& log);

  /// kNone when all steps are made and the weights are written; else what the run stopped for, saved.
  /// ERR_TRAINING_DIVERGED, ERR_DISK_FULL, ERR_OUTPUT_WRITE, ERR_FILE_CHANGED, ERR_MPI.
  StopRequest run();

  /// Steps made.
  uint64_t step() const { return position_.step; }

 private:
  void start_or_resume();
  void load_model();
  void resume(const FoundSnapshot& found);
  void take_step();
  void validate();
  void start_snapshot();
  void save_snapshot();
  void report_snapshot(bool wait);
  void finish();
  bool snapshot_is_due() const;
  bool validation_is_due() const;
  SnapshotHead snapshot_head() const;
  std::vector<uint32_t> packs_of(uint32_t micro_batch, uint64_t rank);
  uint64_t trained_tokens(const std::vector<uint32_t>& packs) const;
  std::vector<std::vector<uint32_t>> packs_of_step();
  double step_loss(const StepLosses& losses, const std::vector<std::vector<uint32_t>>& packs) const;
  void note_skipped(const StepLosses& losses, const std::vector<std::vector<uint32_t>>& packs);

  RunSetup& setup_;
  const RunFile& run_;
  Collectives& collectives_;
  RunLog& log_;
  WorkerPool workers_;
  ParameterStore store_;
  std::optional<Decoder> decoder_;
  PackOrder order_;
  BatchBuilder builder_;
  std::optional<BatchBuilder> validation_builder_;
  std::optional<SnapshotWriter> snapshots_;
  std::optional<LearningRateSchedule> schedule_;

  DataPosition position_;
  uint64_t total_steps_ = 0;
  uint64_t skipped_in_a_row_ = 0;
  std::optional<uint64_t> saved_step_;  // of the newest snapshot, whole or under way
  StopRequest stop_ = StopRequest::kNone;
};

}  // namespace branchmerge::sft
