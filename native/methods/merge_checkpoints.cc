#include "methods/merge_checkpoints.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>

#include "checkpoint/hash.h"
#include "checkpoint/output_writer.h"
#include "checkpoint/read_ahead.h"
#include "error.h"
#include "fusion/fuse_operator.h"
#include "methods/equal_operator.h"
#include "methods/leaf_tensor.h"
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

struct OutputLayout {
  std::string header;
  std::vector<uint64_t> begins;  // of each tensor of this output, in the file
  uint64_t bytes;
};

uint64_t elements_of(const MergePlan::Tensor& tensor) {
  uint64_t elements = 1;
  for (const uint64_t size : tensor.shape) elements *= size;
  return elements;
}

uint64_t output_bytes(const MergePlan::Tensor& tensor) {
  return elements_of(tensor) * dtype_bits(tensor.output_dtype) / 8;
}

std::vector<OutputLayout> lay_out(const MergePlan& plan) {
  std::vector<std::vector<TensorLayout>> tensors(plan.outputs.size());
  for (const MergePlan::Tensor& tensor : plan.tensors)
    tensors[tensor.output].push_back({tensor.name, tensor.output_dtype, tensor.shape, output_bytes(tensor)});
  std::vector<OutputLayout> layouts;
  for (size_t i = 0; i < plan.outputs.size(); i++) {
    OutputLayout layout{serialize_header(tensors[i], plan.outputs[i].metadata, kDataAlignment), {}, 0};
    layout.bytes = layout.header.size();
    for (const TensorLayout& tensor : tensors[i]) {
      layout.begins.push_back(layout.bytes);
      layout.bytes += tensor.bytes;
    }
    layouts.push_back(std::move(layout));
  }
  return layouts;
}

DType stored_dtype(const MergePlan::Tensor& tensor, size_t model) {
  return tensor.stored.empty() ? tensor.dtype : tensor.stored[model];
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

void check_plan(const MergePlan& plan) {
  size_t output = 0;
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    for (size_t i = 0; i < tensor.models.size(); i++) {
      const ByteRange& range = tensor.models[i];
      if (range.input >= plan.inputs.size() || range.begin > range.end ||
          range.size() != elements_of(tensor) * dtype_bits(stored_dtype(tensor, i)) / 8 ||
          range.end > plan.inputs[range.input].bytes)
        throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': its range does not fit its input");
      if (stored_dtype(tensor, i) != tensor.dtype &&
          !(dtype_is_float(stored_dtype(tensor, i)) && dtype_is_float(tensor.dtype)))
        throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': only floats can be converted");
    }
    if (tensor.program >= plan.programs.size())
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': there is no such program");
    check_program(plan.programs[tensor.program], tensor);
    if (tensor.output < output || tensor.output >= plan.outputs.size())
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': tensors must be grouped by output");
    output = tensor.output;
  }
}

/// Counts bytes from all threads and passes them on, at most some twenty times a second.
class Progress {
 public:
  Progress(const MergeCallbacks& callbacks, uint64_t bytes, uint64_t tensors)
      : callbacks_(callbacks), now_{0, bytes, 0, tensors} {}

  void add(uint64_t bytes, uint64_t tensors = 0) {
    std::lock_guard lock(mutex_);
    now_.bytes_done += bytes;
    now_.tensors_done += tensors;
    const auto time = std::chrono::steady_clock::now();
    const bool last = now_.bytes_done == now_.bytes_total && now_.tensors_done == now_.tensors_total;
    if (!last && time - reported_ < std::chrono::milliseconds(50)) return;
    reported_ = time;
    if (callbacks_.on_progress) callbacks_.on_progress(now_);
  }

 private:
  const MergeCallbacks& callbacks_;
  std::mutex mutex_;
  MergeProgress now_;
  std::chrono::steady_clock::time_point reported_{};
};

/// The result of a step as an operand of a later one: computed a stretch at a time, each time it is asked
/// for.
class StepReader final : public TensorReader {
 public:
  StepReader(TensorOperator& step, const std::vector<TensorReader*>& operands, uint64_t element_bytes,
             size_t workers)
      : step_(step), operands_(operands), element_bytes_(element_bytes), buffers_(workers) {}
  const std::byte* fetch(size_t worker, uint64_t begin, uint64_t end) override {
    std::vector<std::byte>& buffer = buffers_[worker];
    if (buffer.size() < end - begin) buffer.resize(end - begin);
    const uint64_t kept =
        step_.apply(worker, begin / element_bytes_, end / element_bytes_, operands_, buffer.data());
    if (counting_) {
      kept_ += kept;
      elements_ += (end - begin) / element_bytes_;
    }
    return buffer.data();
  }

  /// From now on counts what it gives, while no worker fetches.
  void begin_counting() { counting_ = true; }
  void end_counting() { counting_ = false; }
  /// Elements that were given since, and those of them that the step took from its operand 1.
  uint64_t elements() const { return elements_; }
  uint64_t kept() const { return kept_; }

 private:
  TensorOperator& step_;
  const std::vector<TensorReader*>& operands_;
  const uint64_t element_bytes_;
  bool counting_ = false;
  std::atomic<uint64_t> elements_{0}, kept_{0};
  std::vector<std::vector<std::byte>> buffers_;
};

/// Where a merged tensor goes, piece by piece and in any order.
class TensorSink {
 public:
  TensorSink(OutputWriter& writer, size_t output, uint64_t begin, Progress& progress)
      : writer_(writer), output_(output), begin_(begin), progress_(progress) {}

  /// Pieces end where (byte + phase()) is a multiple of kOutputPiece, and at the tensor's end.
  uint64_t phase() const { return begin_ % kWriteBlock; }
  uint64_t begin() const { return begin_; }
  /// Room for output bytes [begin, end) of the tensor. What an earlier run wrote is computed once more, for
  /// its figures, and dropped.
  std::byte* open(std::vector<std::byte>& dropped, uint64_t begin, uint64_t end) {
    if (!writer_.written(output_, begin_ + end)) return writer_.open(output_, begin_ + begin, begin_ + end);
    dropped.resize(end - begin);
    return dropped.data();
  }
  void close(uint64_t begin, uint64_t end) {
    if (!writer_.written(output_, begin_ + end)) writer_.close(output_, begin_ + begin, begin_ + end);
    progress_.add(end - begin);
  }

 private:
  OutputWriter& writer_;
  const size_t output_;
  const uint64_t begin_;
  Progress& progress_;
};

/// An operand in another dtype than its own.
class ConvertingReader final : public TensorReader {
 public:
  ConvertingReader(TensorReader& reader, DType from, DType to, size_t workers)
      : reader_(reader), from_(from), to_(to), buffers_(workers) {}
  const std::byte* fetch(size_t worker, uint64_t begin, uint64_t end) override {
    const uint64_t to_size = dtype_bits(to_) / 8, from_size = dtype_bits(from_) / 8;
    const uint64_t first = begin / to_size, last = end / to_size;
    std::vector<std::byte>& buffer = buffers_[worker];
    if (buffer.size() < end - begin) buffer.resize(end - begin);
    convert_elements(from_, reader_.fetch(worker, first * from_size, last * from_size), to_, buffer.data(),
                     last - first);
    return buffer.data();
  }

 private:
  TensorReader& reader_;
  const DType from_, to_;
  std::vector<std::vector<std::byte>> buffers_;
};

/// A tensor's program with its operators and readers.
class Merge {
 public:
  Merge(const MergePlan& plan, const MergePlan::Tensor& tensor, std::deque<LeafTensor>& leaves,
        std::vector<FusionScratch>& scratch, WorkerPool& pool, const std::atomic<bool>& cancelled)
      : tensor_(tensor), info_{tensor.name, tensor.dtype, tensor.shape, elements_of(tensor)}, pool_(pool) {
    const std::vector<Step>& program = plan.programs[tensor.program];
    if (!dtype_is_float(tensor.dtype) || info_.elements == 0) {
      add_step(std::make_unique<EqualOperator>(info_));
      for (size_t i = 0; i < leaves.size(); i++) add_leaf(leaves[i], i, cancelled, tensor.dtype);
      return;
    }
    const DType between = plan.float_intermediates && tensor.dtype != DType::F64 ? DType::F32 : tensor.dtype;
    for (size_t i = 0; i < program.size(); i++) {
      const bool last = i + 1 == program.size();
      const bool takes_results = std::any_of(program[i].operands.begin(), program[i].operands.end(),
                                             [](const Operand& o) { return o.kind == Operand::Kind::kStep; });
      OperandInfo info = info_;
      if (takes_results) info.dtype = between;
      add_step(make_step_operator(program[i], program[i].operands.size(), info,
                                  last ? tensor.output_dtype : between, *plan.instruction_set, scratch[i]));
      steps_.back()->is_fusion = program[i].method == "fuse";
      steps_.back()->dtype = between;
      for (const Operand& operand : program[i].operands)
        operand.kind == Operand::Kind::kModel
            ? add_leaf(leaves[operand.index], operand.index, cancelled, info.dtype)
            : add_result(*steps_[operand.index], between);
    }
  }

  /// Returns the hash of the result's bytes where the sink puts them.
  uint64_t run(TensorSink& sink) {
    for (const std::unique_ptr<StepState>& step : steps_) step->merge->prepare(step->operands, pool_);
    for (StepReader* result : results_) result->begin_counting();
    const uint64_t size = dtype_bits(tensor_.output_dtype) / 8, bytes = info_.elements * size,
                   phase = sink.phase();
    StepState& last = *steps_.back();
    PlacedHash hash(sink.begin(), bytes);
    // A block of the output must not be closed again after its last byte.
    if (bytes == 0) return hash.value();
    std::vector<std::vector<std::byte>> dropped(pool_.workers());
    pool_.for_each((phase + bytes + kOutputPiece - 1) / kOutputPiece, [&](size_t worker, size_t i) {
      const uint64_t begin = i == 0 ? 0 : i * kOutputPiece - phase;
      const uint64_t end = std::min(bytes, (i + 1) * kOutputPiece - phase);
      std::byte* out = sink.open(dropped[worker], begin, end);
      last.kept += last.merge->apply(worker, begin / size, end / size, last.operands, out);
      hash.add(begin, end, out);
      sink.close(begin, end);
    });
    for (StepReader* result : results_) result->end_counting();
    for (const std::unique_ptr<StepState>& step : steps_)
      if (step != steps_.back() && step->is_fusion) count_kept(*step);
    return hash.value();
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

  /// Most often the pass over the result has fetched every element of an earlier step once. Where it has not
  /// (a later step kept another operand whole, or looks twice), the step is applied once more.
  void count_kept(StepState& step) {
    for (const StepReader* reader : step.readers)
      if (reader->elements() == info_.elements) {
        step.kept = reader->kept();
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
    std::unique_ptr<TensorReader> reader = std::make_unique<LeafReader>(leaf, pool_.workers(), cancelled);
    reader = converted(std::move(reader), stored_dtype(tensor_, model), info_.dtype);
    add_reader(converted(std::move(reader), info_.dtype, wanted));
  }
  std::unique_ptr<TensorReader> converted(std::unique_ptr<TensorReader> reader, DType from, DType to) {
    if (from == to) return reader;
    auto converting = std::make_unique<ConvertingReader>(*reader, from, to, pool_.workers());
    readers_.push_back(std::move(reader));
    return converting;
  }
  void add_result(StepState& step, DType dtype) {
    auto reader =
        std::make_unique<StepReader>(*step.merge, step.operands, dtype_bits(dtype) / 8, pool_.workers());
    step.readers.push_back(reader.get());
    results_.push_back(reader.get());
    add_reader(std::move(reader));
  }

  const MergePlan::Tensor& tensor_;
  const OperandInfo info_;
  WorkerPool& pool_;
  std::vector<std::unique_ptr<StepState>> steps_;
  std::vector<std::unique_ptr<TensorReader>> readers_;
  std::vector<StepReader*> results_;
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

}  // namespace

MergeTotals merge_checkpoints(const MergePlan& plan, const MergeCallbacks& callbacks,
                              const std::atomic<bool>& cancelled) {
  const auto started = std::chrono::steady_clock::now();
  check_plan(plan);
  const std::vector<OutputLayout> layouts = lay_out(plan);

  InputFiles inputs(plan.inputs);
  // Input in the page cache is read from there, and so are tensors too large to keep; the rest is read ahead.
  std::vector<ReadAhead::Group> groups;
  uint64_t bytes_read = 0, bytes_merged = 0;
  size_t steps = 0, tensors_left = 0;
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    if (tensor.done) continue;
    tensors_left++;
    groups.emplace_back();
    for (const ByteRange& range : tensor.models) {
      if (!inputs.cached(range.input)) groups.back().push_back(range);
      bytes_read += range.size();
    }
    if (ReadAhead::room(groups.back()) > plan.memory) groups.back().clear();
    bytes_merged += output_bytes(tensor);
    steps = std::max(steps, plan.programs[tensor.program].size());
  }
  Progress progress(callbacks, bytes_read + bytes_merged, tensors_left);

  std::vector<OutputWriter::Output> outputs;
  for (size_t i = 0; i < layouts.size(); i++)
    outputs.push_back({plan.outputs[i].path, layouts[i].bytes, plan.outputs[i].written});
  OutputWriter writer(std::move(outputs), plan.threads + kBlocksInFlight, callbacks.on_written);
  ReadAhead reader(inputs, std::move(groups), plan.memory);
  WorkerPool pool(plan.threads);
  std::vector<FusionScratch> scratch(steps);

  std::vector<size_t> placed(plan.outputs.size(), 0);
  for (size_t i = 0; i < layouts.size(); i++)
    if (layouts[i].begins.empty()) write_header(writer, i, layouts[i].header);
  for (const MergePlan::Tensor& tensor : plan.tensors) {
    const OutputLayout& layout = layouts[tensor.output];
    size_t& index = placed[tensor.output];
    if (index == 0) write_header(writer, tensor.output, layout.header);

    const uint64_t begin = layout.begins[index++];
    if (tensor.done) continue;

    ArrivingGroup& group = reader.next();
    std::deque<LeafTensor> leaves;
    size_t arriving = 0;
    for (const ByteRange& range : tensor.models) {
      leaves.emplace_back(inputs, range, [&](uint64_t bytes) { progress.add(bytes); });
      if (arriving < group.size() && !inputs.cached(range.input)) leaves.back().attach(group, arriving++);
    }
    TensorSink sink(writer, tensor.output, begin, progress);
    Merge merge(plan, tensor, leaves, scratch, pool, cancelled);
    const uint64_t hash = merge.run(sink);

    MergedTensor merged{
        merge.stats(), {}, elements_of(tensor), begin + output_bytes(tensor), hash_text(hash)};
    for (LeafTensor& leaf : leaves) {
      leaf.finish();
      merged.model_hashes.push_back(leaf.hash());
    }
    if (callbacks.on_tensor) callbacks.on_tensor(tensor, merged);
    reader.release();
    progress.add(0, 1);
  }
  writer.finish();
  inputs.check_unchanged();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  return {bytes_read, writer.bytes_written(), seconds.count(), inputs.any_direct(), writer.direct()};
}

}  // namespace branchmerge
