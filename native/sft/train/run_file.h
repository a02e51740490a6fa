#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "sft/model/decoder.h"
#include "sft/optimizer/adamw.h"
#include "sft/optimizer/learning_rate.h"
#include "tensor/dtype.h"

namespace branchmerge::sft {

enum class LossNormalization { kMicroMean, kGlobalTokenMean };

/// One resolved training run, as docs/sft-trainer.md describes the file: every field is in it, nothing is
/// defaulted here.
struct RunFile {
  std::string model;                           // directory of the checkpoint to start from
  std::string data;                            // directory of prepared data
  std::optional<std::string> validation_data;  // the same, or none
  std::string output;                          // directory
  uint64_t epochs;
  std::optional<uint64_t> max_steps;  // wins over epochs
  uint64_t seed;
  double learning_rate;
  double warmup_ratio;
  std::optional<uint64_t> warmup_steps;  // wins over the ratio
  AdamWOptions adam;
  std::optional<double> max_gradient_norm;
  uint64_t loss_chunk_tokens;
  std::optional<uint64_t> snapshot_every_steps;
  uint64_t snapshot_keep;
  std::optional<uint64_t> validation_every_steps;
  uint64_t export_max_shard_bytes;
  uint64_t max_skipped_steps;
  uint64_t memory_bytes;
  uint32_t micro_batch_packs;
  uint32_t gradient_accumulation;
  uint32_t threads;
  int zero_stage;
  LossNormalization loss_normalization;
  ScheduleKind schedule;
  Recompute recompute;
  DType export_dtype;
  bool resume;
};

/// Throws ERR_INVALID_ARGUMENT naming file, field and value for a field that is missing, unknown, of another
/// type or out of its range; ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ.
RunFile read_run_file(const std::string& path);

}  // namespace branchmerge::sft
