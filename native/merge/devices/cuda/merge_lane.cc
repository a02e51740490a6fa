#include <algorithm>
#include <cstring>
#include <deque>
#include <string>

#include "base/error.h"
#include "cuda/devices.h"
#include "fusion/cuda/device_fusion.h"
#include "merge/devices/cuda/device_program.h"
#include "merge/devices/cuda/upload.h"
#include "merge/devices/device_lane.h"
#include "tensor/convert.h"
#include "tensor/finite.h"

namespace branchmerge::cuda {
namespace {

/// Lanes of a device: copying to it, computing and copying back go on at the same time, each for another
/// tensor.
constexpr size_t kLanesOfDevice = 3;

/// What the merge takes of a device's free memory; the rest is room for CUDA itself, and for neighbours.
constexpr double kShareOfMemory = 0.8;

/// Bytes of the result that a worker copies back at a time: a block of the output.
constexpr uint64_t kDownloadBytes = kWriteBlock;

/// A leaf, or a stretch of it, that lies in a lane's memory.
struct Resident {
  LeafSource source;
  uint64_t begin, end;  // elements
  const std::byte* at;
};

class MergeLane final : public DeviceLane {
 public:
  /// `bytes`: of device memory for tensors; `steps`: of the longest program.
  MergeLane(size_t device, uint64_t budget, uint64_t bytes, size_t steps, size_t workers,
            const MergePlan& plan, const std::atomic<bool>& cancelled)
      : device_(device),
        budget_(budget),
        plan_(plan),
        cancelled_(cancelled),
        memory_(bytes),
        scratch_(steps),
        pool_(workers),
        workers_(workers) {
    for (LaneWorker& worker : workers_)
      for (PinnedMemory& staging : worker.staging) staging = PinnedMemory(kStagingBytes);
  }

  std::vector<StepStats> merge(const MergePlan::Tensor& tensor, const std::vector<LeafTensor*>& leaves,
                               TensorSink& sink) override;
  void forget_leaves() override { residents_.clear(); }
  size_t device() const override { return device_; }
  WorkerPool& pool() override { return pool_; }

 private:
  class Run;

  const size_t device_;
  const uint64_t budget_;
  const MergePlan& plan_;
  const std::atomic<bool>& cancelled_;
  // In the order of their destruction, from below: what is under way ends before its memory goes.
  DeviceMemory memory_;
  std::vector<DeviceFusionScratch> scratch_;
  Stream stream_;
  Event computed_;
  WorkerPool pool_;
  std::vector<LaneWorker> workers_;
  std::vector<Resident> residents_;
};

/// One tensor on its lane.
class MergeLane::Run {
 public:
  Run(MergeLane& lane, const MergePlan::Tensor& tensor, const std::vector<LeafTensor*>& leaves,
      TensorSink& sink)
      : lane_(lane),
        program_(lay_out(lane.plan_, tensor, lane.budget_)),
        sink_(sink),
        output_dtype_(tensor.output_dtype),
        output_size_(dtype_bits(tensor.output_dtype) / 8),
        may_overflow_(may_overflow(program_.steps.back().info.dtype, tensor.output_dtype) ||
                      program_.steps.back().options->gate == Gate::kSoft) {
    for (const DeviceProgram::Leaf& leaf : program_.leaves)
      leaves_.emplace_back(lane_, LeafSource{leaves[leaf.model], leaf.stored, leaf.read_as, leaf.wanted},
                           memory(leaf.at));
    for (size_t i = 0; i < program_.steps.size(); i++) {
      const DeviceProgram::Step& step = program_.steps[i];
      fusions_.emplace_back(step.info, step.result, *step.options, program_.slice, lane_.scratch_[i],
                            lane_.stream_);
      results_.emplace_back(*this, i);
    }
  }

  std::vector<StepStats> operator()() {
    for (size_t i = 0; i < fusions_.size(); i++) {
      fusions_[i].prepare(reader(program_.steps[i].left), reader(program_.steps[i].right));
      // Infinity that a soft gate made is no infinity of a model, of which one side may be kept.
      if (fusions_[i].stats().kept_operand && takes_soft_result(i)) throw NotForDevice();
    }
    for (uint64_t begin = 0; begin < program_.elements;) {
      const uint64_t end = end_of_run(begin);
      const std::byte* result = results_.back().fetch(begin, end);
      lane_.computed_.record(lane_.stream_);
      // Nothing is handed on before the device has said that all of it went well.
      lane_.stream_.synchronize();
      download(begin * output_size_, end * output_size_, result);
      begin = end;
    }
    return stats();
  }

 private:
  class Leaf final : public DeviceReader {
   public:
    Leaf(MergeLane& lane, const LeafSource& source, std::byte* at) : lane_(lane), source_(source), at_(at) {}
    const std::byte* fetch(uint64_t begin, uint64_t end) override {
      std::vector<Resident>& residents = lane_.residents_;
      const uint64_t size = dtype_bits(source_.wanted) / 8;
      for (const Resident& there : residents)
        if (there.source == source_ && there.at == at_ && there.begin <= begin && end <= there.end)
          return at_ + (begin - there.begin) * size;
      std::erase_if(residents, [&](const Resident& there) { return there.at == at_; });
      upload(source_, begin, end, at_, lane_.stream_, lane_.device_, lane_.pool_, lane_.workers_,
             lane_.cancelled_);
      residents.push_back({source_, begin, end, at_});
      return at_;
    }

   private:
    MergeLane& lane_;
    const LeafSource source_;
    std::byte* const at_;
  };

  /// The result of a step: computed when it is asked for, and kept until another stretch is.
  class Result final : public DeviceReader {
   public:
    Result(Run& run, size_t step) : run_(run), step_(step) {}
    const std::byte* fetch(uint64_t begin, uint64_t end) override {
      const DeviceProgram::Step& step = run_.program_.steps[step_];
      std::byte* const at = run_.memory(step.at);
      if (begin_ <= begin && end <= end_) return at + (begin - begin_) * (dtype_bits(step.result) / 8);
      const std::byte* left = run_.reader(step.left).fetch(begin, end);
      const std::byte* right = run_.reader(step.right).fetch(begin, end);
      unsigned long long* counter = run_.counter(step_);
      // Every pass goes over the tensor from its start; the last one's count is the tensor's.
      if (begin == 0)
        check(cudaMemsetAsync(counter, 0, sizeof *counter, run_.lane_.stream_), "clear a counter");
      run_.fusions_[step_].apply(begin, end, left, right, at, counter);
      begin_ = begin;
      end_ = end;
      return at;
    }

   private:
    Run& run_;
    const size_t step_;
    uint64_t begin_ = 0, end_ = 0;
  };

  bool takes_soft_result(size_t step) const {
    const auto is_soft = [&](const DeviceProgram::Source& source) {
      return !source.is_leaf && program_.steps[source.index].options->gate == Gate::kSoft;
    };
    return is_soft(program_.steps[step].left) || is_soft(program_.steps[step].right);
  }

  std::byte* memory(uint64_t at) const { return lane_.memory_.data() + at; }
  unsigned long long* counter(size_t step) const {
    return reinterpret_cast<unsigned long long*>(memory(program_.steps[step].counter));
  }
  DeviceReader& reader(const DeviceProgram::Source& source) {
    return source.is_leaf ? static_cast<DeviceReader&>(leaves_[source.index]) : results_[source.index];
  }

  /// As much of the result as a slice holds, up to a cut of its hash.
  uint64_t end_of_run(uint64_t begin) const {
    const uint64_t end = std::min(program_.elements, begin + program_.slice);
    return sink_.cut_before(end * output_size_) / output_size_;
  }

  void download(uint64_t begin, uint64_t end, const std::byte* result) {
    const uint64_t first = (sink_.phase() + begin) / kDownloadBytes,
                   last = (sink_.phase() + end + kDownloadBytes - 1) / kDownloadBytes;
    lane_.pool_.for_each(last - first, [&](size_t index, size_t i) {
      if (lane_.cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
      start_device(lane_.device_);
      LaneWorker& worker = lane_.workers_[index];
      const uint64_t block = (first + i) * kDownloadBytes, phase = sink_.phase();
      const uint64_t from = block < phase + begin ? begin : block - phase,
                     until = std::min(end, block + kDownloadBytes - phase);
      std::byte* out = sink_.open(worker.room, from, until);
      lane_.computed_.hold(worker.download);
      check(cudaMemcpyAsync(out, result + (from - begin), until - from, cudaMemcpyDeviceToHost,
                            worker.download),
            "copy a result from it");
      worker.download.synchronize();
      const uint64_t elements = (until - from) / output_size_;
      if (may_overflow_ && find_non_finite(output_dtype_, out, elements) < elements) throw NotForDevice();
      sink_.close(from, until, out);
    });
  }

  std::vector<StepStats> stats() const {
    std::vector<StepStats> stats;
    for (size_t i = 0; i < fusions_.size(); i++) {
      unsigned long long taken = 0;
      check(cudaMemcpyAsync(&taken, counter(i), sizeof taken, cudaMemcpyDeviceToHost, lane_.stream_),
            "copy a count from it");
      lane_.stream_.synchronize();
      stats.push_back({fusions_[i].stats(), taken});
    }
    return stats;
  }

  MergeLane& lane_;
  const DeviceProgram program_;
  TensorSink& sink_;
  const DType output_dtype_;
  const uint64_t output_size_;
  const bool may_overflow_;
  std::deque<Leaf> leaves_;
  std::deque<DeviceFusion> fusions_;
  std::deque<Result> results_;
};

std::vector<StepStats> MergeLane::merge(const MergePlan::Tensor& tensor,
                                        const std::vector<LeafTensor*>& leaves, TensorSink& sink) {
  try {
    start_device(device_);
    return Run(*this, tensor, leaves, sink)();
  } catch (...) {
    // Copies from and into memory that others own end before it goes; a lost device has ended them.
    residents_.clear();
    cudaStreamSynchronize(stream_);
    for (const LaneWorker& worker : workers_) cudaStreamSynchronize(worker.download);
    cudaGetLastError();
    throw;
  }
}

/// The most that a tensor of the plan takes.
struct Needs {
  uint64_t bytes = 0;  // and the scratch of its fusions
  size_t tensors = 0, steps = 0;
};

Needs needs_of(const MergePlan& plan) {
  Needs needs;
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    if (tensor.done || !merges_on_devices(plan, tensor)) continue;
    const DeviceProgram program = lay_out(plan, tensor, UINT64_MAX);
    needs.bytes = std::max(needs.bytes, program.bytes + program.scratch);
    needs.steps = std::max(needs.steps, program.steps.size());
    needs.tensors++;
  }
  return needs;
}

/// Device memory for tensors, where each lane has so much.
uint64_t largest_layout(const MergePlan& plan, uint64_t budget) {
  uint64_t bytes = 0;
  for (const MergePlan::Tensor& tensor : plan.tensors)
    if (!tensor.done && merges_on_devices(plan, tensor))
      bytes = std::max(bytes, lay_out(plan, tensor, budget).bytes);
  return bytes;
}

}  // namespace
}  // namespace branchmerge::cuda

namespace branchmerge {

std::vector<std::unique_ptr<DeviceLane>> make_device_lanes(const MergePlan& plan, size_t device,
                                                           const std::atomic<bool>& cancelled) {
  using namespace cuda;
  std::vector<std::unique_ptr<DeviceLane>> lanes;
  const Needs needs = needs_of(plan);
  if (needs.tensors == 0) return lanes;
  start_device(device);
  size_t available = 0, total = 0;
  check(cudaMemGetInfo(&available, &total), "tell its free memory");
  const auto share = uint64_t(kShareOfMemory * double(available));
  // Fewer lanes where that keeps tensors from being cut into slices.
  const size_t count = std::clamp<size_t>(share / needs.bytes, 1, std::min(kLanesOfDevice, needs.tensors));
  const size_t workers = std::max<size_t>(1, plan.threads / (count * plan.devices.size()));
  const uint64_t bytes = largest_layout(plan, share / count);
  for (size_t i = 0; i < count; i++)
    lanes.push_back(
        std::make_unique<MergeLane>(device, share / count, bytes, needs.steps, workers, plan, cancelled));
  return lanes;
}

}  // namespace branchmerge
