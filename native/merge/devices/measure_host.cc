#include "merge/devices/measure_host.h"

#include <algorithm>

#include "base/hash.h"
#include "base/worker_pool.h"
#include "fusion/fuse_operator.h"
#include "merge/devices/best_seconds.h"

namespace branchmerge {
namespace {

/// A task of the pool: as many elements as fusion gives a worker at a time (kBlock in docs/design.md).
constexpr uint64_t kTaskRows = (1 << 17) / FusionSample::kColumns;

class SampleReader final : public TensorReader {
 public:
  explicit SampleReader(const std::byte* bytes) : bytes_(bytes) {}
  const std::byte* fetch(size_t, uint64_t begin, uint64_t) override { return bytes_ + begin; }

 private:
  const std::byte* bytes_;
};

}  // namespace

uint64_t rows_for_threads(size_t threads) {
  constexpr uint64_t kLeast = 16 * kTaskRows, kMost = 128 * kTaskRows;
  return std::clamp(threads * kTaskRows, kLeast, kMost);
}

HostRates measure_host(const FusionSample& sample, const cpu::InstructionSet& instruction_set,
                       size_t threads) {
  WorkerPool pool(threads);
  const uint64_t tasks = sample.rows() / kTaskRows, task = kTaskRows * FusionSample::kColumns;
  const double bytes = double(2 * tasks * kTaskRows * sample.row_bytes());

  SampleReader left(sample.side(0)), right(sample.side(1));
  const std::vector<TensorReader*> operands{&left, &right};
  FusionScratch scratch;
  std::vector<std::vector<std::byte>> results(threads,
                                              std::vector<std::byte>(kTaskRows * sample.result_row_bytes()));
  const auto fuse = [&] {
    FuseOperator fusion(sample.info(sample.rows()), sample.kind().result, sample.kind().options,
                        instruction_set, scratch);
    fusion.prepare(operands, pool);
    pool.for_each(tasks, [&](size_t worker, size_t i) {
      fusion.apply(worker, i * task, (i + 1) * task, operands, results[worker].data());
    });
  };

  const uint64_t task_bytes = kTaskRows * sample.row_bytes();
  std::vector<std::vector<uint64_t>> hashes(threads, std::vector<uint64_t>(task_bytes / kHashPieceBytes));
  const auto hash = [&] {
    pool.for_each(2 * tasks, [&](size_t worker, size_t i) {
      xxh64_pieces(sample.side(i % 2) + i / 2 * task_bytes, hashes[worker].size(), hashes[worker].data());
    });
  };
  return {bytes / best_seconds(hash), bytes / best_seconds(fuse)};
}

}  // namespace branchmerge
