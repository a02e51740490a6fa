#include "sft/train/run_file.h"

#include <array>

#include "base/error.h"
#include "sft/train/json_fields.h"

namespace branchmerge::sft {
namespace {

constexpr uint64_t kMaxRunFileBytes = 1 << 20;
constexpr uint64_t kMaxThreads = 1024;
// A shard holds at least its largest tensor; below this the index would be larger than the weights.
constexpr uint64_t kLeastShardBytes = 4096;
constexpr double kLargest = 1e30;

AdamWOptions read_adam(JsonFields fields) {
  AdamWOptions adam;
  adam.beta1 = fields.number("beta1", 0, 1);
  adam.beta2 = fields.number("beta2", 0, 1);
  if (adam.beta1 == 1) fields.fail("beta1", "a number from 0 to below 1");
  if (adam.beta2 == 1) fields.fail("beta2", "a number from 0 to below 1");
  adam.epsilon = fields.number("epsilon", 0, 1, true);
  adam.weight_decay = fields.number("weightDecay", 0, kLargest);
  adam.decay = Decay(fields.choice("decay", {"matrices", "all"}));
  fields.finish();
  return adam;
}

void read_snapshot(JsonFields fields, RunFile& run) {
  run.snapshot_every_steps = fields.integer_or_null("everySteps", 1);
  run.snapshot_keep = fields.integer("keep", 1);
  fields.finish();
}

void read_validation(JsonFields fields, RunFile& run) {
  run.validation_every_steps = fields.integer_or_null("everySteps", 1);
  fields.finish();
}

void read_export(JsonFields fields, RunFile& run) {
  constexpr std::array kDTypes{DType::BF16, DType::F16, DType::F32};
  run.export_dtype = kDTypes[fields.choice("dtype", {"BF16", "F16", "F32"})];
  run.export_max_shard_bytes = fields.integer("maxShardBytes", kLeastShardBytes);
  fields.finish();
}

}  // namespace

RunFile read_run_file(const std::string& path) {
  const JsonNode root = read_json_file(path, kMaxRunFileBytes, "ERR_INVALID_ARGUMENT");
  JsonFields fields(root, path, "ERR_INVALID_ARGUMENT");
  RunFile run{};
  fields.integer("format", 1, 1);
  run.model = fields.string("model");
  run.data = fields.string("data");
  run.validation_data = fields.string_or_null("validationData");
  run.output = fields.string("output");
  run.epochs = fields.integer("epochs", 1, 1'000'000);
  run.max_steps = fields.integer_or_null("maxSteps", 1);
  run.seed = fields.integer("seed", 0);
  run.micro_batch_packs = uint32_t(fields.integer("microBatchPacks", 1, 1 << 20));
  run.gradient_accumulation = uint32_t(fields.integer("gradientAccumulation", 1, 1 << 20));
  run.loss_normalization =
      LossNormalization(fields.choice("lossNormalization", {"micro_mean", "global_token_mean"}));
  run.learning_rate = fields.number("learningRate", 0, kLargest);
  run.schedule =
      ScheduleKind(fields.choice("schedule", {"constant", "constant_with_warmup", "cosine", "linear"}));
  run.warmup_ratio = fields.number("warmupRatio", 0, 1);
  run.warmup_steps = fields.integer_or_null("warmupSteps", 0);
  run.adam = read_adam(fields.object("adam"));
  if (!fields.is_null("maxGradientNorm"))
    run.max_gradient_norm = fields.number("maxGradientNorm", 0, kLargest, true);
  run.recompute = Recompute(fields.choice("recompute", {"none", "selective", "full"}));
  run.loss_chunk_tokens = fields.integer("lossChunkTokens", 1, 1 << 20);
  run.zero_stage = int(fields.integer("zeroStage", 0, 3));
  read_snapshot(fields.object("checkpoint"), run);
  read_validation(fields.object("validation"), run);
  read_export(fields.object("export"), run);
  run.max_skipped_steps = fields.integer("maxSkippedSteps", 1);
  run.threads = uint32_t(fields.integer("threads", 1, kMaxThreads));
  run.memory_bytes = fields.integer("memoryBytes", 1);
  run.resume = fields.boolean("resume");
  fields.finish();
  return run;
}

}  // namespace branchmerge::sft
