#include "sft/train/run_file.h"

#include <doctest/doctest.h>

#include <map>
#include <vector>

#include "../error_code.h"
#include "../temporary_directory.h"

namespace branchmerge::sft {
namespace {

using Fields = std::map<std::string, std::string>;

Fields good_fields() {
  return {{"format", "1"},
          {"model", R"("m")"},
          {"data", R"("d")"},
          {"validationData", "null"},
          {"output", R"("o")"},
          {"epochs", "5"},
          {"maxSteps", "null"},
          {"seed", "42"},
          {"microBatchPacks", "1"},
          {"gradientAccumulation", "3"},
          {"lossNormalization", R"("micro_mean")"},
          {"learningRate", "1e-5"},
          {"schedule", R"("constant_with_warmup")"},
          {"warmupRatio", "0.1"},
          {"warmupSteps", "null"},
          {"adam", R"({"beta1":0.9,"beta2":0.95,"epsilon":1e-8,"weightDecay":0.01,"decay":"matrices"})"},
          {"maxGradientNorm", "1.0"},
          {"recompute", R"("full")"},
          {"lossChunkTokens", "512"},
          {"zeroStage", "3"},
          {"checkpoint", R"({"everySteps":200,"keep":2})"},
          {"validation", R"({"everySteps":null})"},
          {"export", R"({"dtype":"BF16","maxShardBytes":5000000000})"},
          {"maxSkippedSteps", "5"},
          {"threads", "2"},
          {"memoryBytes", "1000000"},
          {"resume", "true"}};
}

std::string text_of(const Fields& fields) {
  std::string text = "{";
  for (const auto& [name, value] : fields) {
    if (text.size() > 1) text += ",";
    text.append("\"").append(name).append("\":").append(value);
  }
  return text + "}";
}

RunFile read(const std::string& text) {
  const TemporaryDirectory directory;
  return read_run_file(directory.write("run.json", text));
}

RunFile read_with(const std::string& name, const std::string& value) {
  Fields fields = good_fields();
  fields[name] = value;
  return read(text_of(fields));
}

TEST_CASE("every field is read") {
  const RunFile run = read(text_of(good_fields()));
  CHECK(run.model == "m");
  CHECK(run.data == "d");
  CHECK(!run.validation_data);
  CHECK(run.output == "o");
  CHECK(run.epochs == 5);
  CHECK(!run.max_steps);
  CHECK(run.seed == 42);
  CHECK(run.micro_batch_packs == 1);
  CHECK(run.gradient_accumulation == 3);
  CHECK(run.loss_normalization == LossNormalization::kMicroMean);
  CHECK(run.learning_rate == 1e-5);
  CHECK(run.schedule == ScheduleKind::kConstantWithWarmup);
  CHECK(run.warmup_ratio == 0.1);
  CHECK(!run.warmup_steps);
  CHECK(run.adam.beta1 == 0.9);
  CHECK(run.adam.beta2 == 0.95);
  CHECK(run.adam.epsilon == 1e-8);
  CHECK(run.adam.weight_decay == 0.01);
  CHECK(run.adam.decay == Decay::kMatrices);
  CHECK(run.max_gradient_norm == 1.0);
  CHECK(run.recompute == Recompute::kFull);
  CHECK(run.loss_chunk_tokens == 512);
  CHECK(run.zero_stage == 3);
  CHECK(run.snapshot_every_steps == 200);
  CHECK(run.snapshot_keep == 2);
  CHECK(!run.validation_every_steps);
  CHECK(run.export_dtype == DType::BF16);
  CHECK(run.export_max_shard_bytes == 5'000'000'000);
  CHECK(run.max_skipped_steps == 5);
  CHECK(run.threads == 2);
  CHECK(run.memory_bytes == 1'000'000);
  CHECK(run.resume);
  CHECK(read_with("lossNormalization", R"("global_token_mean")").loss_normalization ==
        LossNormalization::kGlobalTokenMean);
  CHECK(read_with("schedule", R"("linear")").schedule == ScheduleKind::kLinear);
  CHECK(!read_with("maxGradientNorm", "null").max_gradient_norm);
}

TEST_CASE("no field may be missing, and each is named") {
  for (const auto& field : good_fields()) {
    const std::string& name = field.first;
    Fields fields = good_fields();
    fields.erase(name);
    const auto call = [&] { read(text_of(fields)); };
    CHECK(error_code(call) == "ERR_INVALID_ARGUMENT");
    CHECK(error_message(call).find(" for " + name + " but the field is missing") != std::string::npos);
  }
}

TEST_CASE("what is out of range or of another type is refused by name") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"format", "2"},
      {"model", R"("")"},
      {"validationData", "3"},
      {"epochs", "0"},
      {"epochs", "1.5"},
      {"maxSteps", "0"},
      {"seed", "-1"},
      {"microBatchPacks", "0"},
      {"gradientAccumulation", R"("3")"},
      {"lossNormalization", R"("mean")"},
      {"learningRate", "-1e-5"},
      {"learningRate", "null"},
      {"schedule", R"("polynomial")"},
      {"warmupRatio", "1.1"},
      {"maxGradientNorm", "0"},
      {"recompute", "true"},
      {"lossChunkTokens", "0"},
      {"zeroStage", "4"},
      {"maxSkippedSteps", "0"},
      {"threads", "100000"},
      {"memoryBytes", "1e9"},
      {"resume", R"("true")"},
      {"adam", "null"},
  };
  for (const auto& item : cases) {
    const std::string &name = item.first, &value = item.second;
    CAPTURE(name);
    CAPTURE(value);
    const auto call = [&] { read_with(name, value); };
    CHECK(error_code(call) == "ERR_INVALID_ARGUMENT");
    CHECK(error_message(call).find(" for " + name + " but received ") != std::string::npos);
  }
}

TEST_CASE("fields of the inner objects are as strict") {
  const auto message = [](const std::string& name, const std::string& value) {
    return error_message([&] { read_with(name, value); });
  };
  CHECK(message("adam", R"({"beta1":1,"beta2":0.95,"epsilon":1e-8,"weightDecay":0,"decay":"all"})")
            .find("adam: expected a number from 0 to below 1 for beta1") != std::string::npos);
  CHECK(message("adam", R"({"beta1":0,"beta2":0.95,"epsilon":0,"weightDecay":0,"decay":"all"})")
            .find("for epsilon") != std::string::npos);
  CHECK(message("checkpoint", R"({"everySteps":0,"keep":2})").find("for everySteps") != std::string::npos);
  CHECK(message("checkpoint", R"({"everySteps":1,"keep":0})").find("for keep") != std::string::npos);
  CHECK(message("checkpoint", R"({"everySteps":1,"keep":1,"kept":1})").find("no field \"kept\"") !=
        std::string::npos);
  CHECK(message("export", R"({"dtype":"F64","maxShardBytes":5000})").find("for dtype") != std::string::npos);
}

TEST_CASE("unknown fields, fields twice and what is not JSON are refused") {
  CHECK(error_message([] { read_with("learningrate", "1"); }).find("no field \"learningrate\"") !=
        std::string::npos);
  std::string twice = text_of(good_fields());
  twice.insert(1, R"("seed":1,)");
  CHECK(error_message([&] { read(twice); }).find("\"seed\" twice") != std::string::npos);
  for (const std::string text : {"", "[]", "3", "{", "{\"format\":1}x", "\xff"}) {
    CAPTURE(text);
    CHECK(error_code([&] { read(text); }) == "ERR_INVALID_ARGUMENT");
  }
  CHECK(error_code([] { read_run_file("/nowhere/run.json"); }) == "ERR_CHECKPOINT_NOT_FOUND");
}

}  // namespace
}  // namespace branchmerge::sft
