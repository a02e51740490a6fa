#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fusion/cpu/kernels.h"
#include "fusion/options.h"
#include "fusion/worker_pool.h"
#include "tensor/dtype.h"

namespace branchmerge {

/// A tensor of both models: same name, dtype and shape.
struct TensorPair {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  uint64_t elements;
};

struct TensorStats {
  uint64_t kept = 0;        // elements taken from Right
  bool identical = false;   // same bits on both sides
  bool degenerate = false;  // threshold 0 though the tensor changed
  std::optional<NonFinite> non_finite;
  double threshold = 0, q1 = 0, median = 0, q3 = 0;
  double kl_min = 0, kl_median = 0, kl_max = 0;
};

/// The same stretch of a tensor on both sides. The bytes need no alignment.
struct PairBytes {
  const std::byte* left;
  const std::byte* right;
};

/// Where the bytes of a pair come from: memory, a file, bytes still arriving, another operation.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// Bytes [begin, end) of the tensor; they stay until the same worker's next call. Waits for them where it
  /// must, and throws when they will not come.
  virtual PairBytes fetch(size_t worker, uint64_t begin, uint64_t end) = 0;
  /// The same for the first pass over a tensor, which visits every byte once, in stretches handed out in
  /// ascending order: a source that hashes does it here.
  virtual PairBytes fetch_first(size_t worker, uint64_t begin, uint64_t end) {
    return fetch(worker, begin, end);
  }
};

/// Where the fused bytes go, piece by piece and in any order.
class TensorSink {
 public:
  virtual ~TensorSink() = default;
  /// Pieces end where (byte + phase()) is a multiple of kOutputPiece, and at the tensor's end.
  virtual uint64_t phase() const { return 0; }
  /// Room for output bytes [begin, end) of the tensor, all within one piece.
  virtual std::byte* open(uint64_t begin, uint64_t end) = 0;
  /// The bytes are there.
  virtual void close(uint64_t begin, uint64_t end) = 0;
};

inline constexpr uint64_t kOutputPiece = 1 << 20;

/// Fuses one tensor after the other, keeping its buffers between them.
class TensorFuser {
 public:
  TensorFuser(const FusionOptions& options, const cpu::InstructionSet& instruction_set, WorkerPool& pool);
  ~TensorFuser();

  /// Throws ERR_NON_FINITE or ERR_INTEGER_MISMATCH naming tensor, side and element, and whatever source and
  /// sink throw.
  TensorStats fuse(const TensorPair& pair, DType output_dtype, TensorSource& source, TensorSink& sink);

 private:
  struct Scratch;
  template <class Real>
  class Fusion;

  FusionOptions options_;
  const cpu::InstructionSet& instruction_set_;
  WorkerPool& pool_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace branchmerge
