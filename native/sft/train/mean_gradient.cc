#include "sft/train/mean_gradient.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/worker_pool.h"
#include "sft/model/checkpoint_weights.h"
#include "sft/optimizer/gradient_norm.h"
#include "sft/parallel/local_collectives.h"
#include "sft/parallel/sharded_gradients.h"
#include "sft/parallel/sharded_weights.h"
#include "sft/train/batch_builder.h"
#include "sft/train/durable_files.h"
#include "sft/train/export_weights.h"
#include "sft/train/pack_order.h"
#include "sft/train/stop_signals.h"

namespace branchmerge::sft {
namespace {

/// Gradients in the place of weights.
class GradientBlocks final : public WeightSource {
 public:
  explicit GradientBlocks(const ShardedGradients& gradients) : gradients_(gradients) {}
  const float* acquire(size_t block) override { return gradients_.owned(block).data(); }
  void release(size_t) override {}

 private:
  const ShardedGradients& gradients_;
};

std::vector<uint32_t> first_packs(const RunSetup& setup, uint64_t packs) {
  PackOrder order(setup.data.packs(), setup.run.seed);
  std::vector<uint32_t> first;
  for (uint64_t i = 0; i < std::min(packs, setup.data.packs()); i++) first.push_back(order.at(0, i));
  return first;
}

double squares_of(const ShardedGradients& gradients, const ParameterLayout& layout) {
  double sum = 0;
  for (const Parameter& parameter : layout.parameters)
    sum += sum_of_squares(gradients.owned(parameter.block).data() + parameter.offset, parameter.elements());
  return sum;
}

/// What the plan of a training has, without what only a training needs.
void check_room(const RunSetup& setup) {
  MemoryPlan memory = setup.memory;
  memory.store.optimizer_state = 0;
  memory.snapshot = 0;
  check_memory(memory, setup.run.memory_bytes);
}

}  // namespace

std::optional<MeanGradient> write_mean_gradient(const RunSetup& setup, uint64_t packs,
                                                const std::function<void(uint64_t, uint64_t)>& report) {
  const RunFile& run = setup.run;
  check_room(setup);
  const std::vector<uint32_t> chosen = first_packs(setup, packs);
  MeanGradient result{chosen.size(), 0, 0, 0, 0};
  for (const uint32_t pack : chosen) {
    result.tokens += setup.data.tokens(pack);
    result.trained_tokens += setup.data.trained_tokens(pack);
  }
  if (result.trained_tokens == 0)
    throw Error("ERR_PREPARED_DATA", run.data + ": expected a trained token in the " +
                                         std::to_string(chosen.size()) +
                                         " packs of the gradient but there is none. Take more packs.");

  LocalCollectives alone;
  WorkerPool workers(run.threads);
  const Sharding whole(setup.layout.block_floats, 0, 0, 1);
  ShardedGradients gradients(whole, alone, workers);
  {
    ShardedWeights weights(whole, alone);
    const CheckpointWeights checkpoint(run.model, setup.config, setup.layout);
    for (size_t block = 0; block < whole.blocks(); block++) checkpoint.read(block, 0, weights.slice(block));
    Decoder decoder(setup.config, *setup.backend, setup.decoder);
    BatchBuilder builder(setup.data);
    const auto scale = float(1 / double(result.trained_tokens));
    for (size_t begin = 0; begin < chosen.size(); begin += run.micro_batch_packs) {
      if (stop_request() != StopRequest::kNone) return std::nullopt;
      const size_t end = std::min<size_t>(chosen.size(), begin + run.micro_batch_packs);
      const Batch batch = builder.build(std::span(chosen).subspan(begin, end - begin));
      result.loss += decoder.forward_backward(batch, scale, weights, gradients);
      report(end, chosen.size());
    }
  }
  result.loss /= double(result.trained_tokens);
  result.norm = std::sqrt(squares_of(gradients, setup.layout));
  if (!std::isfinite(result.loss) || !std::isfinite(result.norm))
    throw Error("ERR_NON_FINITE", "Expected a finite loss and gradient of " + run.model +
                                      " on these data but received loss " + std::to_string(result.loss) +
                                      " and norm " + std::to_string(result.norm) + ". Look at the weights.");
  make_directories(run.output);
  GradientBlocks blocks(gradients);
  export_weights({run.output, run.output + "/unfinished", DType::F32, run.export_max_shard_bytes},
                 setup.layout, blocks, alone, workers);
  return result;
}

}  // namespace branchmerge::sft
