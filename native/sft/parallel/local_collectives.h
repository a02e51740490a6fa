#pragma once
#include "sft/parallel/collectives.h"

namespace branchmerge::sft {

/// The collectives of a run on one process: every sum has one term.
class LocalCollectives final : public Collectives {
 public:
  size_t rank() const override { return 0; }
  size_t size() const override { return 1; }
  void all_reduce_sum(std::span<float>) override {}
  void all_reduce_sum(std::span<double>) override {}
  void all_reduce_max(std::span<int64_t>) override {}
  void reduce_scatter_sum(float*, uint64_t) override {}
  void all_gather(float*, uint64_t) override {}
  void broadcast(std::span<std::byte>, size_t) override {}
  void barrier() override {}
  uint64_t buffer_bytes() const override { return 0; }
  [[noreturn]] void abort(int exit_code) override;
};

}  // namespace branchmerge::sft
