#include "sft/train/run_setup.h"

#include <filesystem>
#include <string>

#include "base/error.h"
#include "sft/ops/cpu/cpu_backend.h"
#include "sft/train/process_memory.h"

namespace branchmerge::sft {
namespace {

void check_output(const RunFile& run) {
  std::error_code error;
  if (std::filesystem::equivalent(run.output, run.model, error))
    throw Error("ERR_OUTPUT_IS_INPUT", run.output +
                                           ": expected another directory for output than for model; the "
                                           "new weights would replace those that training starts from");
}

void check_data(const PreparedData& data, const std::string& directory, const ModelConfig& config) {
  if (data.vocabulary_size() > config.vocabulary_size)
    throw Error("ERR_PREPARED_DATA",
                directory + ": expected token ids below " + std::to_string(config.vocabulary_size) +
                    ", the model's vocabulary, but the data were prepared for " +
                    std::to_string(data.vocabulary_size()) + ". Prepare them with the model's tokenizer");
  for (uint64_t pack = 0; pack < data.packs(); pack++)
    if (data.trained_tokens(pack) > 0) return;
  throw Error("ERR_PREPARED_DATA", directory + ": expected a trained token but there is none in " +
                                       std::to_string(data.packs()) + " packs");
}

/// Memory that the program, its libraries and their buffers take. The product makes BLAS touch its own
/// buffers.
uint64_t measure_base(Backend& backend) {
  constexpr size_t kSize = 512;
  auto* const memory = static_cast<float*>(backend.allocate(3 * kSize * kSize * sizeof(float)));
  backend.fill_zero(memory, 3 * kSize * kSize);
  backend.matrix_product(Operand::kPlain, Operand::kTransposed, kSize, kSize, kSize, memory, kSize,
                         memory + kSize * kSize, kSize, Target::kOverwrite, memory + 2 * kSize * kSize,
                         kSize);
  backend.deallocate(memory);
  return resident_bytes();
}

PreparedData open_data(const std::string& directory, const ModelConfig& config, size_t rank,
                       size_t processes) {
  PreparedData data(directory, rank, processes);
  check_data(data, directory, config);
  return data;
}

}  // namespace

RunSetup set_up_run(const RunFile& run, size_t rank, size_t processes) {
  check_output(run);
  const ModelConfig config = read_model_config(run.model);
  auto backend = make_cpu_backend(run.threads);
  const uint64_t base = measure_base(*backend);
  PreparedData data = open_data(run.data, config, rank, processes);
  std::optional<PreparedData> validation_data;
  if (run.validation_data) validation_data = open_data(*run.validation_data, config, rank, processes);
  const DataCourse course(run, data.packs(), processes);

  RunSetup setup{run,
                 processes,
                 config,
                 parameter_layout(config),
                 std::move(backend),
                 std::move(data),
                 std::move(validation_data),
                 course,
                 {},
                 {}};
  const PlannedRun planned{run,          setup.config,
                           setup.layout, *setup.backend,
                           setup.data,   setup.validation_data ? &*setup.validation_data : nullptr,
                           processes};
  setup.decoder = decoder_options(planned);
  setup.memory = plan_memory(planned);
  setup.memory.process_base = base;
  return setup;
}

JsonLine plan_json(const RunSetup& setup, JsonLine line) {
  uint64_t parameters = 0;
  for (const Parameter& parameter : setup.layout.parameters) parameters += parameter.elements();
  line.integer("processes", setup.processes).integer("parameters", parameters);
  line.integer("packs", setup.data.packs()).integer("packsPerStep", setup.course.packs_per_step());
  line.integer("stepsPerEpoch", setup.course.steps_per_epoch());
  line.integer("totalSteps", setup.course.total_steps({}));
  line.raw("memory", setup.memory.json().json()).integer("memoryBytes", setup.run.memory_bytes);
  return line;
}

}  // namespace branchmerge::sft
