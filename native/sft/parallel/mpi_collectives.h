#pragma once
#include <mpi.h>

#include "base/page_buffer.h"
#include "sft/parallel/collectives.h"

namespace branchmerge::sft {

/// Collectives over MPI. MPI moves the data; the sums are made here, in the order of the ranks, because the
/// standard does not promise that a reduction has the same bytes twice.
///
/// One object a process: it initialises MPI and, unless an exception is on its way, finalises it. Without
/// finalising, the launcher ends the other processes when this one exits.
class MpiCollectives final : public Collectives {
 public:
  /// `buffer_bytes` bounds the memory for sums and with it every message, so that counts fit MPI's int: at
  /// least 8 for each process, less than 2 GiB.
  explicit MpiCollectives(uint64_t buffer_bytes);
  ~MpiCollectives() override;

  size_t rank() const override { return rank_; }
  size_t size() const override { return size_; }
  void all_reduce_sum(std::span<float> data) override;
  void all_reduce_sum(std::span<double> data) override;
  void all_reduce_max(std::span<int64_t> data) override;
  void reduce_scatter_sum(float* slices, uint64_t slice) override;
  void all_gather(float* slices, uint64_t slice) override;
  void broadcast(std::span<std::byte> data, size_t root) override;
  void barrier() override;
  uint64_t buffer_bytes() const override { return buffer_.size(); }
  [[noreturn]] void abort(int exit_code) override;

 private:
  template <class T>
  uint64_t piece() const;
  template <class T>
  void reduce_scatter(T* slices, uint64_t slice);
  template <class T>
  void gather(T* slices, uint64_t slice);
  template <class T>
  void all_reduce(std::span<T> data);
  template <class T>
  void sum_buffer(T* sum, uint64_t count);
  void check(int status, const char* call) const;

  size_t rank_ = 0, size_ = 1;
  int exceptions_;
  PageBuffer buffer_;
};

}  // namespace branchmerge::sft
