#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace branchmerge::sft {

/// The processes of a run, and what they compute together. Every process makes the same calls in the same
/// order, with the same counts, from one thread. Counts are elements and have 64 bits.
///
/// Sums add the contributions in the order of the ranks, so that they have the same bytes whenever the number
/// of processes is the same, and every process receives the same bytes. Failures throw ERR_MPI (or what the
/// engine calls its own); the processes are then to be ended with abort(), since the others wait.
class Collectives {
 public:
  Collectives() = default;
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;
  virtual ~Collectives() = default;

  virtual size_t rank() const = 0;
  virtual size_t size() const = 0;

  /// Every element becomes its sum over the processes.
  virtual void all_reduce_sum(std::span<float> data) = 0;
  virtual void all_reduce_sum(std::span<double> data) = 0;

  /// Every element becomes its largest value among the processes.
  virtual void all_reduce_max(std::span<int64_t> data) = 0;

  /// `slices` has size() slices of `slice` elements each. Slice rank() becomes its sum over the processes;
  /// the others keep no defined values.
  virtual void reduce_scatter_sum(float* slices, uint64_t slice) = 0;

  /// `slices` has size() slices of `slice` elements each, of which this process has filled slice rank(). All
  /// are filled afterwards.
  virtual void all_gather(float* slices, uint64_t slice) = 0;

  /// The bytes of process `root` come to all.
  virtual void broadcast(std::span<std::byte> data, size_t root) = 0;

  /// Returns when every process has called it.
  virtual void barrier() = 0;

  /// Memory that these calls use beside their arguments.
  virtual uint64_t buffer_bytes() const = 0;

  /// Ends all processes at once, without unwinding.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

}  // namespace branchmerge::sft
