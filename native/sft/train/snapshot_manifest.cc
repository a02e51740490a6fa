#include "sft/train/snapshot_manifest.h"

#include <array>
#include <charconv>

#include "base/error.h"
#include "safetensors/json.h"
#include "sft/train/json_fields.h"

namespace branchmerge::sft {
namespace {

// A piece takes about 100 bytes: this is enough for the slices of ten thousand processes.
constexpr uint64_t kMaxManifestBytes = 1 << 30;

std::string number_text(double value) {
  std::array<char, 32> digits;
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), size_t(result.ptr - digits.data())};
}

std::string optional_text(const std::optional<uint64_t>& value) {
  return value ? std::to_string(*value) : "null";
}

std::string json_array(const std::vector<std::string>& elements) {
  std::string text = "[";
  for (const std::string& element : elements) text += (text.size() > 1 ? "," : "") + element;
  return text + "]";
}

bool is_file_name(const std::string& name) {
  return name.find('/') == std::string::npos && name != "." && name != "..";
}

SavedFile read_file_entry(JsonFields fields) {
  SavedFile file;
  file.name = fields.string("name");
  if (!is_file_name(file.name)) fields.fail("name", "the name of a file beside the manifest");
  file.bytes = fields.integer("bytes", 0);
  file.hash = fields.string("xxh64");
  uint64_t elements = 0;
  for (const JsonNode& node : fields.array("pieces")) {
    JsonFields piece(node, fields.place() + ": pieces", "ERR_RESUME");
    file.pieces.push_back({piece.string("parameter"), piece.integer("offset", 0),
                           piece.integer("count", 1, uint64_t{1} << 48)});
    piece.finish();
    elements += file.pieces.back().count;
  }
  fields.finish();
  if (file.bytes != elements * 3 * sizeof(float))
    fields.fail("bytes", "three numbers of four bytes for each element");
  return file;
}

RunFields read_run_fields(const JsonNode& node, const std::string& place) {
  RunFields run;
  JsonFields fields(node, place, "ERR_RESUME");
  for (const std::string& key : node.keys) run.emplace_back(key, fields.string(key));
  return run;
}

}  // namespace

RunFields run_fields(const RunFile& run) {
  constexpr std::array<const char*, 2> kNormalizations{"micro_mean", "global_token_mean"};
  constexpr std::array<const char*, 4> kSchedules{"constant", "constant_with_warmup", "cosine", "linear"};
  return {
      {"epochs", std::to_string(run.epochs)},
      {"maxSteps", optional_text(run.max_steps)},
      {"microBatchPacks", std::to_string(run.micro_batch_packs)},
      {"gradientAccumulation", std::to_string(run.gradient_accumulation)},
      {"lossNormalization", kNormalizations[size_t(run.loss_normalization)]},
      {"learningRate", number_text(run.learning_rate)},
      {"schedule", kSchedules[size_t(run.schedule)]},
      {"warmupRatio", number_text(run.warmup_ratio)},
      {"warmupSteps", optional_text(run.warmup_steps)},
      {"adam.beta1", number_text(run.adam.beta1)},
      {"adam.beta2", number_text(run.adam.beta2)},
      {"adam.epsilon", number_text(run.adam.epsilon)},
      {"adam.weightDecay", number_text(run.adam.weight_decay)},
      {"adam.decay", run.adam.decay == Decay::kAll ? "all" : "matrices"},
      {"maxGradientNorm", run.max_gradient_norm ? number_text(*run.max_gradient_norm) : "null"},
      // Products of matrices are divided by it.
      {"threads", std::to_string(run.threads)},
  };
}

JsonLine file_json(const SavedFile& file) {
  std::vector<std::string> pieces;
  for (const SavedPiece& piece : file.pieces) {
    JsonLine line;
    line.text("parameter", piece.parameter).integer("offset", piece.offset).integer("count", piece.count);
    pieces.push_back(line.json());
  }
  JsonLine line;
  line.text("name", file.name).integer("bytes", file.bytes).text("xxh64", file.hash);
  return line.raw("pieces", json_array(pieces));
}

JsonLine manifest_json(const SnapshotHead& head, const std::vector<std::string>& files) {
  JsonLine run;
  for (const auto& [name, value] : head.run) run.text(name, value);
  JsonLine line;
  line.integer("format", 1).integer("step", head.position.step).integer("epoch", head.position.epoch);
  line.integer("packsTaken", head.position.taken).integer("updates", head.updates);
  line.integer("skippedInARow", head.skipped_in_a_row).integer("processes", head.processes);
  line.integer("seed", head.seed).text("dataKey", head.data_key).raw("run", run.json());
  return line.raw("files", json_array(files));
}

SnapshotManifest read_manifest(const std::string& path) {
  const JsonNode root = read_json_file(path, kMaxManifestBytes, "ERR_RESUME");
  JsonFields fields(root, path, "ERR_RESUME");
  // Of another version it is not damaged.
  if (fields.integer("format", 1) != 1)
    throw Error("ERR_FILE_READ", path + ": the snapshot is of another version of branchmerge");
  SnapshotManifest manifest;
  SnapshotHead& head = manifest.head;
  head.position = {fields.integer("step", 0), fields.integer("epoch", 0), fields.integer("packsTaken", 0)};
  head.updates = fields.integer("updates", 0);
  head.skipped_in_a_row = fields.integer("skippedInARow", 0);
  head.processes = fields.integer("processes", 1);
  head.seed = fields.integer("seed", 0);
  head.data_key = fields.string("dataKey");
  head.run = read_run_fields(fields.node("run"), path + ": run");
  for (const JsonNode& node : fields.array("files"))
    manifest.files.push_back(read_file_entry({node, path + ": files", "ERR_RESUME"}));
  fields.finish();
  return manifest;
}

std::string snapshot_name(uint64_t step) {
  const std::string digits = std::to_string(step);
  return "step-" + std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

}  // namespace branchmerge::sft
