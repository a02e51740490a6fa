#include "thread_group.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <thread>

namespace branchmerge::sft {

class ThreadGroup::Member final : public Collectives {
 public:
  Member(ThreadGroup& group, size_t rank) : group_(group), rank_(rank), delays_(std::random_device()()) {}

  size_t rank() const override { return rank_; }
  size_t size() const override { return group_.size_; }
  void all_reduce_sum(std::span<float> data) override { all_reduce(data); }
  void all_reduce_sum(std::span<double> data) override { all_reduce(data); }

  void all_reduce_max(std::span<int64_t> data) override {
    show(data.data());
    std::vector<int64_t> largest(data.begin(), data.end());
    for (size_t rank = 0; rank < size(); rank++)
      for (size_t i = 0; i < data.size(); i++) largest[i] = std::max(largest[i], of<int64_t>(rank)[i]);
    group_.meet();
    std::ranges::copy(largest, data.begin());
  }

  void reduce_scatter_sum(float* slices, uint64_t slice) override {
    show(slices);
    const std::vector<float> sum = sum_from<float>(rank_ * slice, slice);
    group_.meet();
    std::ranges::copy(sum, slices + rank_ * slice);
  }

  void all_gather(float* slices, uint64_t slice) override {
    show(slices);
    for (size_t rank = 0; rank < size(); rank++)
      if (rank != rank_) std::copy_n(of<float>(rank) + rank * slice, slice, slices + rank * slice);
    group_.meet();
  }

  void broadcast(std::span<std::byte> data, size_t root) override {
    show(data.data());
    if (rank_ != root) std::copy_n(of<std::byte>(root), data.size(), data.data());
    group_.meet();
  }

  void barrier() override { group_.meet(); }
  uint64_t buffer_bytes() const override { return 0; }
  [[noreturn]] void abort(int exit_code) override { std::_Exit(exit_code); }

 private:
  void show(void* argument) {
    std::this_thread::sleep_for(std::chrono::microseconds(delays_() % 20));
    group_.arguments_[rank_] = argument;
    group_.meet();
  }

  template <class T>
  const T* of(size_t rank) const {
    return static_cast<const T*>(group_.arguments_[rank]);
  }

  template <class T>
  std::vector<T> sum_from(uint64_t begin, uint64_t count) const {
    std::vector<T> sum(of<T>(0) + begin, of<T>(0) + begin + count);
    for (size_t rank = 1; rank < size(); rank++)
      for (uint64_t i = 0; i < count; i++) sum[i] += of<T>(rank)[begin + i];
    return sum;
  }

  template <class T>
  void all_reduce(std::span<T> data) {
    show(data.data());
    const std::vector<T> sum = sum_from<T>(0, data.size());
    group_.meet();
    std::ranges::copy(sum, data.begin());
  }

  ThreadGroup& group_;
  size_t rank_;
  std::minstd_rand delays_;
};

void ThreadGroup::run(const std::function<void(Collectives&)>& body) {
  failure_ = nullptr;
  waiting_ = 0;
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < size_; rank++)
    threads.emplace_back([&, rank] {
      try {
        Member member(*this, rank);
        body(member);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        all_here_.notify_all();
      }
    });
  for (std::thread& thread : threads) thread.join();
  if (failure_) std::rethrow_exception(failure_);
}

void ThreadGroup::meet() {
  std::unique_lock lock(mutex_);
  const uint64_t meeting = meetings_;
  if (++waiting_ == size_) {
    waiting_ = 0;
    meetings_++;
    all_here_.notify_all();
    return;
  }
  all_here_.wait(lock, [&] { return meetings_ != meeting || failure_; });
  if (meetings_ == meeting) throw std::runtime_error("another rank failed");
}

}  // namespace branchmerge::sft
