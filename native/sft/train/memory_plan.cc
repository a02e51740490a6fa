#include "sft/train/memory_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sft/parallel/connect.h"
#include "sft/train/batch_builder.h"
#include "sft/train/pack_order.h"
#include "sft/train/snapshot_writer.h"

namespace branchmerge::sft {
namespace {

using Entry = std::pair<const char*, uint64_t>;

std::array<Entry, 11> entries_of(const MemoryPlan& plan) {
  return {{{"weights", plan.store.weights},
           {"gatheredWeights", plan.store.gathered_weights},
           {"gradients", plan.store.gradients},
           {"gradientBuffers", plan.store.gradient_buffers},
           {"optimizerState", plan.store.optimizer_state},
           {"activations", plan.activations},
           {"lossChunk", plan.loss_chunk},
           {"data", plan.data},
           {"communication", plan.communication},
           {"checkpoint", plan.snapshot},
           {"processBase", plan.process_base}}};
}

std::string mebibytes(uint64_t bytes) {
  std::array<char, 40> text;
  const int length = std::snprintf(text.data(), text.size(), "%.1f MiB", double(bytes) / (1 << 20));
  return {text.data(), size_t(length)};
}

}  // namespace

uint64_t MemoryPlan::total() const {
  const auto entries = entries_of(*this);
  return std::accumulate(entries.begin(), entries.end(), uint64_t{0},
                         [](uint64_t sum, const Entry& entry) { return sum + entry.second; });
}

JsonLine MemoryPlan::json() const {
  JsonLine line;
  for (const auto& [name, bytes] : entries_of(*this)) line.integer(name, bytes);
  line.integer("total", total());
  return line;
}

std::string MemoryPlan::text() const {
  std::string text;
  for (const auto& [name, bytes] : entries_of(*this))
    if (bytes > 0) text += (text.empty() ? "" : ", ") + std::string(name) + " " + mebibytes(bytes);
  return text;
}

uint64_t most_tokens(const PreparedData& data, uint64_t packs) {
  std::vector<uint32_t> sizes(data.packs());
  for (uint64_t pack = 0; pack < data.packs(); pack++) sizes[pack] = data.tokens(pack);
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  // A micro-batch with more packs than there are goes round the end of the order.
  uint64_t tokens = 0;
  for (uint64_t i = 0; i < packs; i++) tokens += sizes[i % sizes.size()];
  return tokens;
}

DecoderOptions decoder_options(const PlannedRun& planned) {
  const uint64_t packs = planned.run.micro_batch_packs;
  uint64_t tokens = most_tokens(planned.data, packs);
  if (planned.validation_data) tokens = std::max(tokens, most_tokens(*planned.validation_data, packs));
  return {planned.run.recompute, planned.run.loss_chunk_tokens, tokens};
}

MemoryPlan plan_memory(const PlannedRun& planned) {
  const DecoderOptions options = decoder_options(planned);
  DecoderOptions one_row = options;
  one_row.loss_chunk_tokens = 1;
  const auto workspace = [&](const DecoderOptions& of) {
    return Decoder::workspace_bytes(planned.config, planned.backend, of);
  };
  MemoryPlan plan;
  plan.store = store_memory(planned.layout, planned.run.zero_stage, planned.processes);
  plan.activations = workspace(one_row);
  plan.loss_chunk = workspace(options) - plan.activations;
  plan.data = planned.data.memory_bytes() + PackOrder::memory_bytes(planned.data.packs()) +
              BatchBuilder::memory_bytes(options.max_tokens);
  if (planned.validation_data) plan.data += planned.validation_data->memory_bytes();
  // A sum of the largest block touches no more of the buffer.
  const auto& blocks = planned.layout.block_floats;
  plan.communication = std::min<uint64_t>(communication_bytes(planned.processes),
                                          *std::max_element(blocks.begin(), blocks.end()) * sizeof(float));
  if (planned.run.snapshot_every_steps)
    plan.snapshot = SnapshotWriter::memory_bytes(planned.layout, planned.processes);
  return plan;
}

void check_memory(const MemoryPlan& plan, uint64_t limit) {
  if (plan.total() <= limit) return;
  throw Error("ERR_OUT_OF_MEMORY",
              "Expected a run that fits " + mebibytes(limit) + " of memory (memoryBytes) but it needs " +
                  mebibytes(plan.total()) + " in each process: " + plan.text() +
                  ". Use more processes with a higher ZeRO stage, recompute \"full\", fewer packs in a "
                  "micro-batch, shorter packs or smaller loss chunks; or allow more memory");
}

}  // namespace branchmerge::sft
