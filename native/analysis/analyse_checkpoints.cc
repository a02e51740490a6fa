#include "analysis/analyse_checkpoints.h"

#include <chrono>
#include <deque>
#include <mutex>

#include "analysis/analyse_tensor.h"
#include "base/error.h"
#include "io/read_ahead.h"

namespace branchmerge {
namespace {

/// Every range of a tensor, in the order of the analysis: base, experts, merged model, gradients.
template <class Visit>
void for_ranges(const AnalysisPlan::Tensor& tensor, const Visit& visit) {
  for (const auto* ranges : {&tensor.base, &tensor.experts, &tensor.merged, &tensor.gradients})
    for (const AnalysisPlan::Range& range : *ranges) visit(range);
}

void check_tensor(const AnalysisPlan& plan, const AnalysisPlan::Tensor& tensor) {
  const auto refuse = [&](const char* what) {
    throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': " + what);
  };
  const AnalysisPlan::Tensor& first = plan.tensors[0];
  if (tensor.experts.size() != first.experts.size() || tensor.merged.size() != first.merged.size() ||
      tensor.gradients.size() != first.gradients.size())
    refuse("it is in other models than the first tensor");
  if (tensor.base.size() != (tensor.experts.empty() ? 0 : 1) || tensor.merged.size() > tensor.base.size() ||
      (tensor.experts.empty() && tensor.gradients.empty()))
    refuse("experts need one base, and a merged model needs experts");
  for_ranges(tensor, [&](const AnalysisPlan::Range& range) {
    const ByteRange& bytes = range.bytes;
    if (!dtype_is_float(range.dtype)) refuse("only floating-point tensors are analysed");
    if (bytes.input >= plan.inputs.size() || bytes.begin > bytes.end ||
        bytes.end > plan.inputs[bytes.input].bytes ||
        bytes.size() / (dtype_bits(range.dtype) / 8) != tensor.elements ||
        bytes.size() % (dtype_bits(range.dtype) / 8) != 0)
      refuse("its range does not fit its input");
  });
}

/// What of a tensor is read ahead; nothing where that is more than the plan allows: then it is read from the
/// files in every pass.
ReadAhead::Group group_of(const AnalysisPlan& plan, const AnalysisPlan::Tensor& tensor,
                          const InputFiles& inputs) {
  ReadAhead::Group group;
  for_ranges(tensor, [&](const AnalysisPlan::Range& range) {
    // Input in the page cache is read from there.
    if (!inputs.cached(range.bytes.input)) group.push_back(range.bytes);
  });
  return ReadAhead::room(group) > plan.memory ? ReadAhead::Group{} : group;
}

std::vector<ReadAhead::Group> groups_of(const AnalysisPlan& plan, const InputFiles& inputs) {
  std::vector<ReadAhead::Group> groups;
  for (const AnalysisPlan::Tensor& tensor : plan.tensors) groups.push_back(group_of(plan, tensor, inputs));
  return groups;
}

/// A range of a file, as it arrives or read anew each time.
class RangeReader final : public TensorReader {
 public:
  RangeReader(const InputFiles& inputs, const ByteRange& range, std::vector<std::vector<std::byte>>& buffers,
              const std::atomic<bool>& cancelled)
      : inputs_(inputs), range_(range), buffers_(buffers), cancelled_(cancelled) {}

  void attach(ArrivingGroup& group, size_t index) {
    group_ = &group;
    index_ = index;
  }
  const std::byte* fetch(size_t worker, uint64_t begin, uint64_t end) override {
    if (cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
    if (group_ != nullptr) return group_->wait_for(index_, end) + begin;
    std::vector<std::byte>& buffer = buffers_[worker];
    if (buffer.size() < end - begin) buffer.resize(end - begin);
    inputs_.buffered(range_.input).read_exactly({buffer.data(), end - begin}, range_.begin + begin);
    return buffer.data();
  }

 private:
  const InputFiles& inputs_;
  const ByteRange range_;
  std::vector<std::vector<std::byte>>& buffers_;  // of each worker
  const std::atomic<bool>& cancelled_;
  ArrivingGroup* group_ = nullptr;
  size_t index_ = 0;
};

class AnalysisPass {
 public:
  AnalysisPass(const AnalysisPlan& plan, const AnalysisCallbacks& callbacks,
               const std::atomic<bool>& cancelled)
      : plan_(plan),
        callbacks_(callbacks),
        cancelled_(cancelled),
        inputs_(plan.inputs),
        groups_(groups_of(plan, inputs_)),
        reader_(inputs_, groups_, plan.memory),
        pool_(plan.threads) {
    progress_.tensors_total = plan.tensors.size();
    for (const AnalysisPlan::Tensor& tensor : plan.tensors)
      for_ranges(tensor, [&](const auto& range) { progress_.bytes_total += range.bytes.size(); });
  }

  AnalysisTotals run() {
    const auto started = std::chrono::steady_clock::now();
    for (size_t i = 0; i < plan_.tensors.size(); i++) analyse(i);
    inputs_.check_unchanged();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    return {progress_.bytes_total, seconds.count(), inputs_.any_direct()};
  }

 private:
  void analyse(size_t number) {
    const AnalysisPlan::Tensor& tensor = plan_.tensors[number];
    ArrivingGroup& group = reader_.next();
    std::deque<RangeReader> readers;
    size_t arriving = 0;
    const auto stored = [&](const std::vector<AnalysisPlan::Range>& ranges) {
      std::vector<StoredTensor> tensors;
      for (const AnalysisPlan::Range& range : ranges) {
        if (buffers_.size() <= readers.size()) buffers_.emplace_back(pool_.workers());
        readers.emplace_back(inputs_, range.bytes, buffers_[readers.size()], cancelled_);
        if (arriving < group.size() && !inputs_.cached(range.bytes.input))
          readers.back().attach(group, arriving++);
        tensors.push_back({&readers.back(), range.dtype,
                           inputs_.file(range.bytes.input).path() + ": tensor '" + tensor.name + "'"});
      }
      return tensors;
    };
    const TensorVersions versions{tensor.elements, stored(tensor.base), stored(tensor.experts),
                                  stored(tensor.merged), stored(tensor.gradients)};
    const TensorFindings findings =
        analyse_tensor(versions, pool_, [this](uint64_t bytes) { count(bytes, 0); });
    reader_.release();
    if (callbacks_.on_tensor) callbacks_.on_tensor(tensor, findings);
    count(0, 1);
  }

  /// Reports some twenty times a second.
  void count(uint64_t bytes, uint64_t tensors) {
    std::lock_guard lock(mutex_);
    progress_.bytes_done += bytes;
    progress_.tensors_done += tensors;
    const auto now = std::chrono::steady_clock::now();
    const bool last =
        progress_.bytes_done == progress_.bytes_total && progress_.tensors_done == progress_.tensors_total;
    if (!last && now - reported_ < std::chrono::milliseconds(50)) return;
    reported_ = now;
    if (callbacks_.on_progress) callbacks_.on_progress(progress_);
  }

  const AnalysisPlan& plan_;
  const AnalysisCallbacks& callbacks_;
  const std::atomic<bool>& cancelled_;
  InputFiles inputs_;
  const std::vector<ReadAhead::Group> groups_;
  ReadAhead reader_;
  WorkerPool pool_;
  std::deque<std::vector<std::vector<std::byte>>> buffers_;  // of each version and worker
  std::mutex mutex_;
  AnalysisProgress progress_{};
  std::chrono::steady_clock::time_point reported_{};
};

}  // namespace

AnalysisTotals analyse_checkpoints(const AnalysisPlan& plan, const AnalysisCallbacks& callbacks,
                                   const std::atomic<bool>& cancelled) {
  for (const AnalysisPlan::Tensor& tensor : plan.tensors) check_tensor(plan, tensor);
  return AnalysisPass(plan, callbacks, cancelled).run();
}

}  // namespace branchmerge
