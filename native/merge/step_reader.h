#pragma once
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor_operator.h"

namespace branchmerge {

/// The result of a step as an operand of a later one: computed a stretch at a time, where it is asked for.
/// Given memory, it keeps what it computed; without, it computes it again in each pass of the later step.
class StepReader final : public TensorReader {
 public:
  /// `kept` is empty, or has room for the whole result; it must outlive the reader.
  StepReader(TensorOperator& step, const std::vector<TensorReader*>& operands, uint64_t elements,
             uint64_t element_bytes, size_t workers, std::span<std::byte> kept);
  const std::byte* fetch(size_t worker, uint64_t begin, uint64_t end) override;

  /// Counts from now on what it computes, while no worker fetches. A result that is kept counts from the
  /// start.
  void begin_counting();
  void end_counting() { counting_ = false; }
  /// Elements that were computed and counted, and those of them that the step took from its operand 1.
  uint64_t elements() const { return elements_; }
  uint64_t taken() const { return taken_; }

 private:
  enum class Piece : uint8_t { kMissing, kBegun, kThere };
  void compute(size_t worker, uint64_t begin, uint64_t end, std::byte* out);
  void make_present(size_t worker, uint64_t begin, uint64_t end);

  TensorOperator& step_;
  const std::vector<TensorReader*>& operands_;
  const uint64_t bytes_, element_bytes_;
  std::vector<std::vector<std::byte>> buffers_;  // of each worker, where nothing is kept
  const std::span<std::byte> kept_;
  std::vector<std::atomic<Piece>> pieces_;  // of kept_
  bool counting_;
  std::atomic<uint64_t> elements_{0}, taken_{0};
};

}  // namespace branchmerge
