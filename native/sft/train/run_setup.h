#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "sft/model/parameters.h"
#include "sft/ops/backend.h"
#include "sft/train/data_position.h"
#include "sft/train/json_line.h"
#include "sft/train/memory_plan.h"
#include "sft/train/prepared_data.h"
#include "sft/train/run_file.h"

namespace branchmerge::sft {

/// What a run is known by before weights are read or anything large is allocated.
struct RunSetup {
  const RunFile& run;
  uint64_t processes;
  ModelConfig config;
  ParameterLayout layout;
  std::unique_ptr<Backend> backend;
  PreparedData data;
  std::optional<PreparedData> validation_data;
  DataCourse course;
  DecoderOptions decoder;
  MemoryPlan memory;
};

/// Reads the configuration and the index of the data, refuses what does not fit together, and plans the
/// memory of process `rank` of `processes`, which need not be there. ERR_MODEL_UNSUPPORTED, ERR_CONFIG_JSON,
/// ERR_PREPARED_DATA, ERR_OUTPUT_IS_INPUT and what reading files throws.
RunSetup set_up_run(const RunFile& run, size_t rank, size_t processes);

/// What is planned, behind the members of `line`: processes, parameters, steps, memory.
JsonLine plan_json(const RunSetup& setup, JsonLine line);

}  // namespace branchmerge::sft
