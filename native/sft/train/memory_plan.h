#pragma once
#include <cstdint>
#include <string>

#include "sft/model/config.h"
#include "sft/parallel/store_memory.h"
#include "sft/train/json_line.h"
#include "sft/train/prepared_data.h"
#include "sft/train/run_file.h"

namespace branchmerge::sft {

/// What one process of a run takes at most, in bytes, by what it is for.
struct MemoryPlan {
  StoreMemory store;           ///< weights, gradients, optimizer state
  uint64_t activations = 0;    ///< of the largest micro-batch, and workspace
  uint64_t loss_chunk = 0;     ///< logits that are held at a time
  uint64_t data = 0;           ///< indices of the prepared data, order, batch
  uint64_t communication = 0;  ///< buffers between processes
  uint64_t snapshot = 0;       ///< copy of the state that is written while training goes on
  uint64_t process_base = 0;   ///< measured: the program and its libraries, before anything of the above

  uint64_t total() const;
  /// The members and the total, each under its name.
  JsonLine json() const;
  /// The same for people: "weights 1.2 GiB, …".
  std::string text() const;
};

/// The most tokens that a micro-batch of so many packs can have.
uint64_t most_tokens(const PreparedData& data, uint64_t packs);

struct PlannedRun {
  const RunFile& run;
  const ModelConfig& config;
  const ParameterLayout& layout;
  const Backend& backend;
  const PreparedData& data;
  const PreparedData* validation_data;  // or nullptr
  uint64_t processes;
};

/// All but process_base.
MemoryPlan plan_memory(const PlannedRun& planned);

/// Throws ERR_OUT_OF_MEMORY with the numbers when the plan exceeds `limit`.
void check_memory(const MemoryPlan& plan, uint64_t limit);

/// Options of the decoder of this run: its batches are no larger than the data's largest.
DecoderOptions decoder_options(const PlannedRun& planned);

}  // namespace branchmerge::sft
