#include "fusion/fuse_checkpoints.h"

#include <chrono>
#include <cstring>
#include <mutex>

#include "checkpoint/hash.h"
#include "checkpoint/output_writer.h"
#include "error.h"

namespace branchmerge {
namespace {

/// The output's data begins at a multiple of this, so that its blocks and the tensors in them are aligned for direct
/// I/O on both ends.
constexpr uint64_t kDataAlignment = 4096;

/// Blocks of the output in memory beyond one for each worker: what is on its way to the disk.
constexpr size_t kBlocksInFlight = 16;

static_assert(kOutputPiece == kWriteBlock, "the gate fills one block of the output at a time");

struct OutputLayout {
  std::string header;
  std::vector<uint64_t> begins;  // of each tensor of this output, in the file
  uint64_t bytes;
};

uint64_t elements_of(const FusePlan::Tensor& tensor) {
  uint64_t elements = 1;
  for (const uint64_t size : tensor.shape) elements *= size;
  return elements;
}

uint64_t output_bytes(const FusePlan::Tensor& tensor) {
  return elements_of(tensor) * dtype_bits(tensor.output_dtype) / 8;
}

std::vector<OutputLayout> lay_out(const FusePlan& plan) {
  std::vector<std::vector<TensorLayout>> tensors(plan.outputs.size());
  for (const FusePlan::Tensor& tensor : plan.tensors)
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

void check_plan(const FusePlan& plan) {
  size_t output = 0;
  for (const FusePlan::Tensor& tensor : plan.tensors) {
    const uint64_t bytes = elements_of(tensor) * dtype_bits(tensor.dtype) / 8;
    for (const ByteRange& range : {tensor.left, tensor.right})
      if (range.input >= plan.inputs.size() || range.begin > range.end || range.size() != bytes ||
          range.end > plan.inputs[range.input].bytes)
        throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': its range does not fit its input");
    if (tensor.output < output || tensor.output >= plan.outputs.size())
      throw Error("ERR_INVALID_ARGUMENT", "Tensor '" + tensor.name + "': tensors must be grouped by output");
    output = tensor.output;
  }
}

/// Counts bytes from all threads and passes them on, at most some twenty times a second.
class Progress {
 public:
  Progress(const FuseCallbacks& callbacks, uint64_t bytes, uint64_t tensors)
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
  const FuseCallbacks& callbacks_;
  std::mutex mutex_;
  FuseProgress now_;
  std::chrono::steady_clock::time_point reported_{};
};

class CheckpointSource final : public TensorSource {
 public:
  CheckpointSource(ArrivingPair& pair, uint64_t bytes, Progress& progress, const std::atomic<bool>& cancelled)
      : pair_(pair), bytes_(bytes), progress_(progress), cancelled_(cancelled), left_(pieces()), right_(pieces()) {}

  void wait_for(uint64_t, uint64_t end) override {
    if (cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
    pair_.wait_for(end);
  }
  size_t pieces() const override { return (bytes_ + kHashPieceBytes - 1) / kHashPieceBytes; }
  void visit_piece(size_t piece) override {
    const uint64_t begin = piece * kHashPieceBytes, end = std::min<uint64_t>(bytes_, begin + kHashPieceBytes);
    wait_for(begin, end);
    left_[piece] = xxh64({pair_.left() + begin, end - begin});
    right_[piece] = xxh64({pair_.right() + begin, end - begin});
    progress_.add(2 * (end - begin));
  }
  std::string left_hash() const { return hash_text(combine_piece_hashes(left_)); }
  std::string right_hash() const { return hash_text(combine_piece_hashes(right_)); }

 private:
  ArrivingPair& pair_;
  const uint64_t bytes_;
  Progress& progress_;
  const std::atomic<bool>& cancelled_;
  std::vector<uint64_t> left_, right_;
};

class CheckpointSink final : public TensorSink {
 public:
  CheckpointSink(OutputWriter& writer, size_t output, uint64_t begin, Progress& progress)
      : writer_(writer), output_(output), begin_(begin), progress_(progress) {}

  uint64_t phase() const override { return begin_ % kWriteBlock; }
  std::byte* open(uint64_t begin, uint64_t end) override { return writer_.open(output_, begin_ + begin, begin_ + end); }
  void close(uint64_t begin, uint64_t end) override {
    writer_.close(output_, begin_ + begin, begin_ + end);
    progress_.add(end - begin);
  }

 private:
  OutputWriter& writer_;
  const size_t output_;
  const uint64_t begin_;
  Progress& progress_;
};

void write_header(OutputWriter& writer, size_t output, const std::string& header) {
  for (uint64_t at = 0; at < header.size();) {
    const uint64_t end = std::min<uint64_t>(header.size(), (at / kWriteBlock + 1) * kWriteBlock);
    std::memcpy(writer.open(output, at, end), header.data() + at, end - at);
    writer.close(output, at, end);
    at = end;
  }
}

}  // namespace

FuseTotals fuse_checkpoints(const FusePlan& plan, const FuseCallbacks& callbacks, const std::atomic<bool>& cancelled) {
  const auto started = std::chrono::steady_clock::now();
  check_plan(plan);
  const std::vector<OutputLayout> layouts = lay_out(plan);

  std::vector<PairReader::Pair> pairs;
  uint64_t bytes_read = 0, bytes_fused = 0;
  for (const FusePlan::Tensor& tensor : plan.tensors) {
    pairs.push_back({tensor.left, tensor.right});
    bytes_read += tensor.left.size() + tensor.right.size();
    bytes_fused += output_bytes(tensor);
  }
  Progress progress(callbacks, bytes_read + bytes_fused, plan.tensors.size());

  std::vector<OutputWriter::Output> outputs;
  for (size_t i = 0; i < layouts.size(); i++) outputs.push_back({plan.outputs[i].path, layouts[i].bytes});
  OutputWriter writer(std::move(outputs), plan.threads + kBlocksInFlight);
  PairReader reader(plan.inputs, std::move(pairs));
  WorkerPool pool(plan.threads);
  TensorFuser fuser(plan.options, *plan.instruction_set, pool);

  std::vector<size_t> placed(plan.outputs.size(), 0);
  for (size_t i = 0; i < layouts.size(); i++)
    if (layouts[i].begins.empty()) write_header(writer, i, layouts[i].header);
  for (const FusePlan::Tensor& tensor : plan.tensors) {
    const OutputLayout& layout = layouts[tensor.output];
    size_t& index = placed[tensor.output];
    if (index == 0) write_header(writer, tensor.output, layout.header);
    ArrivingPair& arriving = reader.next();
    const TensorPair pair{tensor.name, tensor.dtype, tensor.shape, elements_of(tensor), arriving.left(), arriving.right()};
    CheckpointSource source(arriving, tensor.left.size(), progress, cancelled);
    CheckpointSink sink(writer, tensor.output, layout.begins[index++], progress);
    const TensorStats stats = fuser.fuse(pair, tensor.output_dtype, source, sink);
    if (callbacks.on_tensor)
      callbacks.on_tensor(tensor, {stats, pair.elements, source.left_hash(), source.right_hash()});
    reader.release();
    progress.add(0, 1);
  }
  writer.finish();
  reader.check_unchanged();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  return {bytes_read, writer.bytes_written(), seconds.count(), reader.direct(), writer.direct()};
}

}  // namespace branchmerge
