#include "merge/merge_checkpoints.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/in_order.h"
#include "cuda/devices.h"
#include "fusion/fuse_operator.h"
#include "io/output_writer.h"
#include "io/read_ahead.h"
#include "merge/devices/device_lane.h"
#include "merge/devices/device_queue.h"
#include "merge/equal_operator.h"
#include "merge/leaf_tensor.h"
#include "merge/merge_progress.h"
#include "merge/plan_tensor.h"
#include "merge/result_memory.h"
#include "merge/step_reader.h"
#include "merge/tensor_sink.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

/// The output's data begins at a multiple of this, so that its blocks and the tensors in them are aligned for
/// direct I/O on both ends.
constexpr uint64_t kDataAlignment = 4096;

/// Blocks of the output in memory beyond one for each worker: what is on its way to the disk.
constexpr size_t kBlocksInFlight = 16;

/// The result is computed a block of the output at a time.
constexpr uint64_t kOutputPiece = kWriteBlock;

uint64_t tail_elements(const MergePlan::Tensor& tensor) {
  if (!tensor.tail) return 0;
  uint64_t elements = tensor.tail->rows;
  for (size_t i = 1; i < tensor.shape.size(); i++) elements *= tensor.shape[i];
  return elements;
}

uint64_t output_elements(const MergePlan::Tensor& tensor) {
  return elements_of(tensor) + tail_elements(tensor);
}

std::vector<uint64_t> output_shape(const MergePlan::Tensor& tensor) {
  std::vector<uint64_t> shape = tensor.shape;
  if (tensor.tail) shape[0] += tensor.tail->rows;
  return shape;
}

uint64_t output_bytes(const MergePlan::Tensor& tensor) {
  return output_elements(tensor) * dtype_bits(tensor.output_dtype) / 8;
}

struct OutputLayout {
  std::vector<std::string> headers;  // of each output
  std::vector<uint64_t> bytes;       // of each output
  std::vector<uint64_t> begins;      // of each tensor of the plan, in its output
};

OutputLayout lay_out(const MergePlan& plan) {
  std::vector<std::vector<TensorLayout>> tensors(plan.outputs.size());
  for (const MergePlan::Tensor& tensor : plan.tensors)
    tensors[tensor.output].push_back(
        {tensor.name, tensor.output_dtype, output_shape(tensor), output_bytes(tensor)});
  OutputLayout layout;
  for (size_t i = 0; i < plan.outputs.size(); i++) {
    layout.headers.push_back(serialize_header(tensors[i], plan.outputs[i].metadata, kDataAlignment));
    layout.bytes.push_back(layout.headers.back().size());
  }
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    layout.begins.push_back(layout.bytes[tensor.output]);
    layout.bytes[tensor.output] += output_bytes(tensor);
  }
  return layout;
}

void check_program(const std::vector<Step>& program, const MergePlan::Tensor& tensor) {
  if (program.empty())
    throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': its program is empty");
  for (size_t i = 0; i < program.size(); i++) {
    const Step& step = program[i];
    if (step.operands.empty())
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': a step has no operands");
    if (step.method != "fuse" && find_method(step.method) == nullptr)
      throw Error("ERR_INVALID_ARGUMENT", "There is no method '" + step.method + "'");
    for (const Operand& operand : step.operands)
      if (operand.index >= (operand.kind == Operand::Kind::kModel ? tensor.models.size() : i))
        throw Error("ERR_INVALID_ARGUMENT",
                    "Tensor '" + tensor.name + "': its program does not fit its models");
  }
}

/// Before anything is computed from the shape.
void check_shape(const MergePlan::Tensor& tensor) {
  const auto refuse = [&](const char* what) {
    throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': " + what);
  };
  std::vector<uint64_t> shape = tensor.shape;
  if (tensor.tail) {
    if (shape.empty() || tensor.tail->model >= tensor.models.size())
      refuse("its tail does not fit its models");
    if (__builtin_add_overflow(shape[0], tensor.tail->rows, &shape[0]))
      refuse("its shape has too many elements");
  }
  uint64_t bits = 64;  // of an element at most
  for (const uint64_t size : shape)
    if (__builtin_mul_overflow(bits, size, &bits)) refuse("its shape has too many elements");
}

void check_models(const MergePlan& plan, const MergePlan::Tensor& tensor) {
  for (size_t i = 0; i < tensor.models.size(); i++) {
    const ByteRange& range = tensor.models[i];
    const uint64_t elements =
        elements_of(tensor) + (tensor.tail && tensor.tail->model == i ? tail_elements(tensor) : 0);
    if (range.input >= plan.inputs.size() || range.begin > range.end ||
        range.size() != elements * dtype_bits(stored_dtype(tensor, i)) / 8 ||
        range.end > plan.inputs[range.input].bytes)
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': its range does not fit its input");
    if (stored_dtype(tensor, i) != tensor.dtype &&
        !(dtype_is_float(stored_dtype(tensor, i)) && dtype_is_float(tensor.dtype)))
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': only floats can be converted");
  }
}

void check_plan(const MergePlan& plan) {
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    check_shape(tensor);
    check_models(plan, tensor);
    if (tensor.program >= plan.programs.size())
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': there is no such program");
    check_program(plan.programs[tensor.program], tensor);
    if (tensor.output >= plan.outputs.size())
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': there is no such output");
  }
}

/// Tensors that are merged from the same reads.
struct SharedRead {
  std::vector<size_t> tensors;    // of the plan, consecutive but for those that are done
  std::vector<ByteRange> ranges;  // of the inputs, each once
  ReadAhead::Group group;         // those of them that are read ahead
  bool too_large = false;         // to keep: read from the files in every pass
};

bool same_range(const ByteRange& a, const ByteRange& b) {
  return a.input == b.input && a.begin == b.begin && a.end == b.end;
}

/// The same with what one more tensor reads.
SharedRead with_tensor(SharedRead read, const MergePlan& plan, size_t index, const InputFiles& inputs) {
  read.tensors.push_back(index);
  for (const ByteRange& range : plan.tensors[index].models) {
    if (std::any_of(read.ranges.begin(), read.ranges.end(),
                    [&](const ByteRange& other) { return same_range(range, other); }))
      continue;
    read.ranges.push_back(range);
    // Input in the page cache is read from there.
    if (!inputs.cached(range.input)) read.group.push_back(range);
  }
  read.too_large = ReadAhead::room(read.group) > plan.memory;
  return read;
}

std::vector<SharedRead> plan_reads(const MergePlan& plan, const InputFiles& inputs) {
  std::vector<SharedRead> reads;
  for (size_t i = 0; i < plan.tensors.size(); i++) {
    if (plan.tensors[i].done) continue;
    if (!reads.empty() && plan.tensors[reads.back().tensors[0]].name == plan.tensors[i].name) {
      SharedRead joined = with_tensor(reads.back(), plan, i, inputs);
      if (!joined.too_large) {
        reads.back() = std::move(joined);
        continue;
      }
    }
    reads.push_back(with_tensor({}, plan, i, inputs));
  }
  return reads;
}

/// The most outputs that are begun and not finished at one time: each holds a block that waits for its next
/// tensor.
size_t outputs_at_once(const MergePlan& plan) {
  std::vector<size_t> left(plan.outputs.size()), seen(plan.outputs.size());
  for (const MergePlan::Tensor& tensor : plan.tensors) left[tensor.output]++;
  size_t open = 0, most = 0;
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    if (seen[tensor.output]++ == 0) most = std::max(most, ++open);
    if (--left[tensor.output] == 0) open--;
  }
  return most;
}

/// An operand in another dtype than its own.
class ConvertingReader final : public TensorReader {
 public:
  /// `what`: whose elements, for messages.
  ConvertingReader(TensorReader& reader, DType from, DType to, size_t workers, std::string what)
      : reader_(reader), from_(from), to_(to), what_(std::move(what)), buffers_(workers) {}
  const std::byte* fetch(size_t worker, uint64_t begin, uint64_t end) override {
    const uint64_t to_size = dtype_bits(to_) / 8, from_size = dtype_bits(from_) / 8;
    const uint64_t first = begin / to_size, last = end / to_size;
    std::vector<std::byte>& buffer = buffers_[worker];
    if (buffer.size() < end - begin) buffer.resize(end - begin);
    const std::byte* const in = reader_.fetch(worker, first * from_size, last * from_size);
    const size_t found = convert_elements(from_, in, to_, buffer.data(), last - first);
    if (found == last - first) return buffer.data();
    double value;
    widen_elements(from_, in + found * from_size, &value, 1);
    throw Error("ERR_NON_FINITE",
                does_not_fit(what_ + ": element " + std::to_string(first + found) + " is", value, to_));
  }

 private:
  TensorReader& reader_;
  const DType from_, to_;
  const std::string what_;
  std::vector<std::vector<std::byte>> buffers_;
};

/// A tensor's program with its operators and readers.
class Merge {
 public:
  /// `leaves`: the tensor in each model.
  Merge(const MergePlan& plan, const MergePlan::Tensor& tensor, const std::vector<LeafTensor*>& leaves,
        std::vector<FusionScratch>& scratch, ResultMemory& results, WorkerPool& pool,
        const std::atomic<bool>& cancelled)
      : plan_(plan),
        tensor_(tensor),
        info_{tensor.name, tensor.dtype, tensor.shape, elements_of(tensor)},
        result_memory_(results),
        pool_(pool) {
    if (tensor.tail) tail_ = tail_reader(*leaves[tensor.tail->model], cancelled);
    const std::vector<Step>& program = plan.programs[tensor.program];
    if (!dtype_is_float(tensor.dtype) || info_.elements == 0) {
      add_step(std::make_unique<EqualOperator>(info_));
      for (size_t i = 0; i < leaves.size(); i++) add_leaf(*leaves[i], i, cancelled, tensor.dtype);
      return;
    }
    for (size_t i = 0; i < program.size(); i++) {
      const StepDtypes dtypes = step_dtypes(tensor, program, i);
      OperandInfo info = info_;
      info.dtype = dtypes.operands;
      add_step(make_step_operator(program[i], program[i].operands.size(), info, dtypes.result,
                                  *plan.instruction_set, scratch[i]));
      steps_.back()->is_fusion = program[i].method == "fuse";
      steps_.back()->dtype = dtypes.result;
      for (const Operand& operand : program[i].operands)
        operand.kind == Operand::Kind::kModel
            ? add_leaf(*leaves[operand.index], operand.index, cancelled, info.dtype)
            : add_result(*steps_[operand.index], steps_[operand.index]->dtype);
    }
  }

  void run(TensorSink& sink) {
    for (const std::unique_ptr<StepState>& step : steps_) step->merge->prepare(step->operands, pool_);
    for (StepReader* result : results_) result->begin_counting();
    const uint64_t bytes = output_bytes(tensor_), phase = sink.phase();
    // A block of the output must not be closed again after its last byte.
    if (bytes == 0) return;
    std::vector<std::vector<std::byte>> dropped(pool_.workers());
    pool_.for_each((phase + bytes + kOutputPiece - 1) / kOutputPiece, [&](size_t worker, size_t i) {
      const uint64_t begin = i == 0 ? 0 : i * kOutputPiece - phase;
      const uint64_t end = std::min(bytes, (i + 1) * kOutputPiece - phase);
      std::byte* out = sink.open(dropped[worker], begin, end);
      fill(worker, begin, end, out);
      sink.close(begin, end, out);
    });
    for (StepReader* result : results_) result->end_counting();
    for (const std::unique_ptr<StepState>& step : steps_)
      if (step != steps_.back() && step->is_fusion) count_kept(*step);
  }

  std::vector<StepStats> stats() {
    std::vector<StepStats> stats;
    for (const std::unique_ptr<StepState>& step : steps_) stats.push_back({step->merge->stats(), step->kept});
    return stats;
  }

 private:
  struct StepState {
    std::unique_ptr<TensorOperator> merge;
    std::vector<TensorReader*> operands;
    std::atomic<uint64_t> kept{0};
    bool is_fusion = false;
    DType dtype;  // of its result
    std::vector<StepReader*> readers = {};
  };

  /// Bytes [begin, end) of the output: merged rows, then those of the tail.
  void fill(size_t worker, uint64_t begin, uint64_t end, std::byte* out) {
    const uint64_t size = dtype_bits(tensor_.output_dtype) / 8, merged = info_.elements * size;
    StepState& last = *steps_.back();
    if (const uint64_t until = std::min(end, merged); begin < until)
      last.kept += last.merge->apply(worker, begin / size, until / size, last.operands, out);
    if (const uint64_t from = std::max(begin, merged); from < end)
      std::memcpy(out + (from - begin), tail_->fetch(worker, from, end), end - from);
  }

  /// Most often the pass over the result has fetched every element of an earlier step once. Where it has not
  /// (a later step kept another operand whole, or looks twice), the step is applied once more.
  void count_kept(StepState& step) {
    for (const StepReader* reader : step.readers)
      if (reader->elements() == info_.elements) {
        step.kept = reader->taken();
        return;
      }
    const uint64_t stretch = kOutputPiece / sizeof(double), size = dtype_bits(step.dtype) / 8;
    std::vector<std::vector<std::byte>> buffers(pool_.workers(), std::vector<std::byte>(stretch * size));
    pool_.for_each((info_.elements + stretch - 1) / stretch, [&](size_t worker, size_t i) {
      const uint64_t begin = i * stretch, end = std::min(info_.elements, begin + stretch);
      step.kept += step.merge->apply(worker, begin, end, step.operands, buffers[worker].data());
    });
  }

  void add_step(std::unique_ptr<TensorOperator> merge) {
    steps_.push_back(std::make_unique<StepState>());
    steps_.back()->merge = std::move(merge);
  }
  void add_reader(std::unique_ptr<TensorReader> reader) {
    steps_.back()->operands.push_back(reader.get());
    readers_.push_back(std::move(reader));
  }
  /// Converted to the tensor's dtype first, as if the model had been stored so.
  void add_leaf(LeafTensor& leaf, size_t model, const std::atomic<bool>& cancelled, DType wanted) {
    add_reader(converted(leaf_reader(leaf, model, cancelled), model, info_.dtype, wanted));
  }
  std::unique_ptr<TensorReader> leaf_reader(LeafTensor& leaf, size_t model,
                                            const std::atomic<bool>& cancelled) {
    return converted(std::make_unique<LeafReader>(leaf, pool_.workers(), cancelled), model,
                     stored_dtype(tensor_, model), info_.dtype);
  }
  /// The tensor of one model in the output's dtype, of which the rows behind the merged ones are wanted.
  std::unique_ptr<TensorReader> tail_reader(LeafTensor& leaf, const std::atomic<bool>& cancelled) {
    const size_t model = tensor_.tail->model;
    return converted(leaf_reader(leaf, model, cancelled), model, info_.dtype, tensor_.output_dtype);
  }
  std::unique_ptr<TensorReader> converted(std::unique_ptr<TensorReader> reader, size_t model, DType from,
                                          DType to) {
    if (from == to) return reader;
    const std::string& path = plan_.inputs[tensor_.models[model].input].path;
    auto converting = std::make_unique<ConvertingReader>(*reader, from, to, pool_.workers(),
                                                         path + ": tensor '" + tensor_.name + "'");
    readers_.push_back(std::move(reader));
    return converting;
  }
  void add_result(StepState& step, DType dtype) {
    const uint64_t size = dtype_bits(dtype) / 8;
    auto reader =
        std::make_unique<StepReader>(*step.merge, step.operands, info_.elements, size, pool_.workers(),
                                     result_memory_.room(results_.size(), info_.elements * size));
    step.readers.push_back(reader.get());
    results_.push_back(reader.get());
    add_reader(std::move(reader));
  }

  const MergePlan& plan_;
  const MergePlan::Tensor& tensor_;
  const OperandInfo info_;
  ResultMemory& result_memory_;
  WorkerPool& pool_;
  std::vector<std::unique_ptr<StepState>> steps_;
  std::vector<std::unique_ptr<TensorReader>> readers_;
  std::vector<StepReader*> results_;
  std::unique_ptr<TensorReader> tail_;
};

void write_header(OutputWriter& writer, size_t output, const std::string& header) {
  for (uint64_t at = 0; at < header.size();) {
    const uint64_t end = std::min<uint64_t>(header.size(), (at / kWriteBlock + 1) * kWriteBlock);
    if (writer.written(output, end)) {
      at = end;
      continue;
    }
    std::memcpy(writer.open(output, at, end), header.data() + at, end - at);
    writer.close(output, at, end);
    at = end;
  }
}

/// What is left to do.
struct Work {
  std::vector<ReadAhead::Group> groups;  // of each read
  uint64_t bytes_read = 0, bytes_merged = 0;
  size_t tensors = 0, most_steps = 0;
};

Work work_of(const MergePlan& plan, const std::vector<SharedRead>& reads) {
  Work work;
  for (const SharedRead& read : reads) {
    work.groups.push_back(read.too_large ? ReadAhead::Group{} : read.group);
    for (const ByteRange& range : read.ranges) work.bytes_read += range.size();
    work.tensors += read.tensors.size();
    for (const size_t i : read.tensors) {
      work.bytes_merged += output_bytes(plan.tensors[i]);
      work.most_steps = std::max(work.most_steps, plan.programs[plan.tensors[i].program].size());
    }
  }
  return work;
}

std::vector<OutputWriter::Output> output_files(const MergePlan& plan, const OutputLayout& layout) {
  std::vector<OutputWriter::Output> files;
  for (size_t i = 0; i < plan.outputs.size(); i++)
    files.push_back({plan.outputs[i].path, layout.bytes[i], plan.outputs[i].written});
  return files;
}

/// Tensors of one read, from the first byte to the last.
struct OpenRead {
  const SharedRead& read;
  size_t number;
  std::deque<LeafTensor> leaves;
};

constexpr char kAfterDeviceFailure[] =
    " Run again with device 'cpu' (--device cpu), or with 'auto', which goes on without a device that fails.";

/// One pass over the inputs, with everything that lasts for all of it.
class MergePass {
 public:
  MergePass(const MergePlan& plan, const MergeCallbacks& callbacks, const std::atomic<bool>& cancelled)
      : plan_(plan),
        callbacks_(callbacks),
        cancelled_(cancelled),
        layout_(lay_out(plan)),
        begun_(plan.outputs.size()),
        inputs_(plan.inputs),
        reads_(plan_reads(plan, inputs_)),
        work_(work_of(plan, reads_)),
        progress_(callbacks, work_.bytes_read + work_.bytes_merged, work_.tensors),
        lanes_(start_devices()),
        writer_(output_files(plan, layout_), blocks_held(), callbacks.on_written),
        reader_(inputs_, std::move(work_.groups), plan.memory, devices_.size() + 1),
        pool_(plan.threads),
        scratch_(work_.most_steps),
        results_(plan.memory - std::min<uint64_t>(plan.memory, reader_.memory().size())) {
    pin_memory();
    if (!lanes_.empty()) queue_ = std::make_unique<DeviceQueue>(std::move(lanes_), [this] { stop(); });
  }

  void run() {
    write_headers_alone();
    try {
      for (size_t number = 0; number < reads_.size(); number++) merge(number);
      if (queue_) queue_->finish();
    } catch (...) {
      // A lane's failure comes first: it is what made the rest fail.
      const std::exception_ptr failure = queue_ ? queue_->failure() : nullptr;
      stop();
      if (failure) std::rethrow_exception(failure);
      throw;
    }
    writer_.finish();
    inputs_.check_unchanged();
  }

  MergeTotals totals(double seconds) const {
    return {
        work_.bytes_read, writer_.bytes_written(), seconds, inputs_.any_direct(), writer_.direct(), devices_,
        warnings_};
  }

 private:
  /// The lanes of all devices that start; none when the merge is for the CPU.
  std::vector<std::unique_ptr<DeviceLane>> start_devices() {
    std::vector<std::unique_ptr<DeviceLane>> lanes;
    for (const size_t device : plan_.devices) {
      tolerating_failure_of({device}, [&] {
        for (std::unique_ptr<DeviceLane>& lane : make_device_lanes(plan_, device, cancelled_))
          lanes.push_back(std::move(lane));
        devices_.push_back({device, 0});
      });
    }
    return lanes;
  }

  /// Where devices are a matter of speed, one that fails costs a warning: its lanes fail together. Returns
  /// whether all went well.
  template <class Body>
  bool tolerating_failure_of(const std::vector<size_t>& devices, const Body& body) {
    try {
      body();
      return true;
    } catch (const Error& error) {
      if (!cuda::is_device_failure(error.code)) throw;
      if (!plan_.continue_on_cpu) throw Error(error.code, std::string(error.what()) + kAfterDeviceFailure);
      std::lock_guard lock(devices_mutex_);
      size_t lost = 0;
      for (const size_t device : devices) lost += lost_.insert(device).second;
      if (lost > 0) warnings_.push_back(std::string(error.what()) + " The merge went on without it.");
      return false;
    }
  }

  /// Blocks for whoever produces, for what is on its way to the disk, and of each output begun one that waits
  /// for the next tensor: at both ends of every tensor under way.
  size_t blocks_held() const {
    size_t workers = plan_.threads;
    for (const std::unique_ptr<DeviceLane>& lane : lanes_) workers += lane->pool().workers();
    return workers + kBlocksInFlight + outputs_at_once(plan_) * (lanes_.size() + 1);
  }

  void pin_memory() {
    if (lanes_.empty()) return;
    const bool pinned = tolerating_failure_of(plan_.devices, [&] {
      pinned_.push_back(cuda::pin(writer_.memory(), devices_.front().device));
      pinned_.push_back(cuda::pin(reader_.memory(), devices_.front().device));
    });
    if (pinned) return;
    lanes_.clear();
    devices_.clear();
  }

  /// Whoever waits for bytes or for room gets an error instead.
  void stop() {
    reader_.cancel();
    writer_.cancel();
  }

  /// Of outputs without a tensor.
  void write_headers_alone() {
    std::vector<bool> has_tensors(plan_.outputs.size());
    for (const MergePlan::Tensor& tensor : plan_.tensors) has_tensors[tensor.output] = true;
    for (size_t i = 0; i < plan_.outputs.size(); i++)
      if (!has_tensors[i]) write_header(writer_, i, layout_.headers[i]);
  }

  void merge(size_t number) {
    const std::shared_ptr<OpenRead> read = open(number);
    if (queue_ && is_for_devices(*read) &&
        queue_->run(bytes_of(*read), [this, read](DeviceLane& lane) { merge_on_lane(*read, lane); }))
      return;
    std::vector<MergedTensor> merged;
    for (const size_t index : read->read.tensors) {
      TensorSink sink = sink_of(index);
      blaming(index, [&] {
        merged.push_back(
            finished(*read, index, sink, merge_on_cpu(*read, index, sink, pool_, scratch_, results_)));
      });
    }
    close(*read, std::move(merged));
  }

  /// Tells whose tensor it was that failed.
  template <class Body>
  void blaming(size_t index, const Body& body) {
    try {
      body();
    } catch (...) {
      if (callbacks_.on_failure) callbacks_.on_failure(plan_.tensors[index].output);
      throw;
    }
  }

  /// The tensors of a read as they begin to arrive.
  std::shared_ptr<OpenRead> open(size_t number) {
    ArrivingGroup& group = reader_.next();
    auto open = std::make_shared<OpenRead>(OpenRead{reads_[number], number, {}});
    size_t arriving = 0;
    for (const ByteRange& range : open->read.ranges) {
      open->leaves.emplace_back(inputs_, range, [this](uint64_t bytes) { progress_.add(bytes); });
      if (arriving < group.size() && !inputs_.cached(range.input))
        open->leaves.back().attach(group, arriving++);
    }
    for (const size_t index : open->read.tensors) {
      const size_t output = plan_.tensors[index].output;
      if (!begun_[output]) write_header(writer_, output, layout_.headers[output]);
      begun_[output] = true;
    }
    return open;
  }

  bool is_for_devices(const OpenRead& read) const {
    return std::all_of(read.read.tensors.begin(), read.read.tensors.end(),
                       [&](size_t index) { return merges_on_devices(plan_, plan_.tensors[index]); });
  }

  static uint64_t bytes_of(const OpenRead& read) {
    uint64_t bytes = 0;
    for (const ByteRange& range : read.read.ranges) bytes += range.size();
    return bytes;
  }

  /// From the lane's thread.
  void merge_on_lane(OpenRead& read, DeviceLane& lane) {
    bool lost = false;
    std::vector<FusionScratch> scratch(work_.most_steps);
    ResultMemory no_results(0);
    std::vector<MergedTensor> merged;
    for (const size_t index : read.read.tensors) {
      TensorSink sink = sink_of(index);
      std::vector<StepStats> stats;
      blaming(index, [&] {
        bool refused = false;
        if (!lost) {
          lost = !tolerating_failure_of({lane.device()}, [&] {
            try {
              stats = lane.merge(plan_.tensors[index], models_of(read, index), sink);
            } catch (const NotForDevice&) {
              refused = true;
            }
          });
          if (lost) queue_->give_up(lane.device());
        }
        // The CPU goes on from the last tensor that was finished.
        if (lost || refused) stats = merge_on_cpu(read, index, sink, lane.pool(), scratch, no_results);
        merged.push_back(finished(read, index, sink, std::move(stats)));
      });
    }
    lane.forget_leaves();
    if (!lost) count_share(lane.device(), bytes_of(read));
    close(read, std::move(merged));
  }

  std::vector<StepStats> merge_on_cpu(OpenRead& read, size_t index, TensorSink& sink, WorkerPool& pool,
                                      std::vector<FusionScratch>& scratch, ResultMemory& results) {
    Merge merge(plan_, plan_.tensors[index], models_of(read, index), scratch, results, pool, cancelled_);
    merge.run(sink);
    return merge.stats();
  }

  std::vector<LeafTensor*> models_of(OpenRead& read, size_t index) const {
    std::vector<LeafTensor*> models;
    for (const ByteRange& range : plan_.tensors[index].models) {
      const auto same = [&](const ByteRange& other) { return same_range(range, other); };
      const auto found = std::find_if(read.read.ranges.begin(), read.read.ranges.end(), same);
      models.push_back(&read.leaves[size_t(found - read.read.ranges.begin())]);
    }
    return models;
  }

  TensorSink sink_of(size_t index) {
    const MergePlan::Tensor& tensor = plan_.tensors[index];
    return {writer_, tensor.output, layout_.begins[index], output_bytes(tensor), progress_};
  }

  MergedTensor finished(OpenRead& read, size_t index, const TensorSink& sink, std::vector<StepStats> stats) {
    const MergePlan::Tensor& tensor = plan_.tensors[index];
    MergedTensor merged{std::move(stats),
                        {},
                        output_elements(tensor),
                        layout_.begins[index] + output_bytes(tensor),
                        hash_text(sink.hash())};
    for (LeafTensor* leaf : models_of(read, index)) {
      leaf->finish();
      merged.model_hashes.push_back(leaf->hash());
    }
    return merged;
  }

  /// Tells of the read's tensors in the plan's order, and gives its memory back.
  void close(const OpenRead& read, std::vector<MergedTensor> merged) {
    in_order_.put(read.number, [this, &tensors = read.read.tensors, merged = std::move(merged)] {
      for (size_t i = 0; i < tensors.size(); i++) {
        if (callbacks_.on_tensor) callbacks_.on_tensor(plan_.tensors[tensors[i]], merged[i]);
        progress_.add(0, 1);
      }
      reader_.release();
    });
  }

  void count_share(size_t device, uint64_t bytes) {
    std::lock_guard lock(devices_mutex_);
    for (DeviceShare& share : devices_)
      if (share.device == device) share.bytes += bytes;
  }

  const MergePlan& plan_;
  const MergeCallbacks& callbacks_;
  const std::atomic<bool>& cancelled_;
  const OutputLayout layout_;
  std::vector<bool> begun_;  // outputs whose header is written
  InputFiles inputs_;
  const std::vector<SharedRead> reads_;
  Work work_;
  Progress progress_;
  std::mutex devices_mutex_;
  std::vector<DeviceShare> devices_;
  std::set<size_t> lost_;
  std::vector<std::string> warnings_;
  std::vector<std::unique_ptr<DeviceLane>> lanes_;  // until the queue has them
  OutputWriter writer_;
  ReadAhead reader_;
  WorkerPool pool_;
  std::vector<FusionScratch> scratch_;
  ResultMemory results_;
  InOrder in_order_;
  std::vector<std::unique_ptr<cuda::Pinned>> pinned_;
  std::unique_ptr<DeviceQueue> queue_;  // its tasks end before anything else goes
};

}  // namespace

MergeTotals merge_checkpoints(const MergePlan& plan, const MergeCallbacks& callbacks,
                              const std::atomic<bool>& cancelled) {
  const auto started = std::chrono::steady_clock::now();
  check_plan(plan);
  MergePass pass(plan, callbacks, cancelled);
  pass.run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  return pass.totals(seconds.count());
}

}  // namespace branchmerge
