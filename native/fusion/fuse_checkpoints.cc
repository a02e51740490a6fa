#include "fusion/fuse_checkpoints.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <tuple>

#include "checkpoint/hash.h"
#include "checkpoint/output_writer.h"
#include "checkpoint/pair_reader.h"
#include "error.h"

namespace branchmerge {
namespace {

/// The output's data begins at a multiple of this, so that its blocks and the tensors in them are aligned for
/// direct I/O on both ends.
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

/// A pair in the input files, hashed in the first pass.
class CheckpointSource : public TensorSource {
 public:
  CheckpointSource(uint64_t bytes, Progress& progress, const std::atomic<bool>& cancelled)
      : bytes_(bytes), progress_(progress), cancelled_(cancelled) {
    const size_t pieces = (bytes + kHashPieceBytes - 1) / kHashPieceBytes;
    left_.resize(pieces);
    right_.resize(pieces);
  }

  PairBytes fetch(size_t worker, uint64_t begin, uint64_t end) final {
    if (cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
    return read(worker, begin, end);
  }

  // A piece belongs to the stretch that holds its first byte.
  PairBytes fetch_first(size_t worker, uint64_t begin, uint64_t end) final {
    const size_t first = (begin + kHashPieceBytes - 1) / kHashPieceBytes;
    const size_t last = (end + kHashPieceBytes - 1) / kHashPieceBytes;
    const PairBytes bytes = fetch(worker, begin, std::max(end, std::min(bytes_, last * kHashPieceBytes)));
    for (size_t piece = first; piece < last; piece++) {
      const uint64_t at = piece * kHashPieceBytes, size = std::min<uint64_t>(kHashPieceBytes, bytes_ - at);
      std::tie(left_[piece], right_[piece]) =
          xxh64_pair(bytes.left + (at - begin), bytes.right + (at - begin), size);
    }
    progress_.add(2 * (end - begin));
    return bytes;
  }

  std::string left_hash() const { return hash_text(combine_piece_hashes(left_)); }
  std::string right_hash() const { return hash_text(combine_piece_hashes(right_)); }

 protected:
  virtual PairBytes read(size_t worker, uint64_t begin, uint64_t end) = 0;

 private:
  const uint64_t bytes_;
  Progress& progress_;
  const std::atomic<bool>& cancelled_;
  std::vector<uint64_t> left_, right_;
};

/// Read ahead from the disk, and held until the tensor is done.
class ArrivingSource final : public CheckpointSource {
 public:
  ArrivingSource(PairReader& reader, const FusePlan::Tensor& tensor, Progress& progress,
                 const std::atomic<bool>& cancelled)
      : CheckpointSource(tensor.left.size(), progress, cancelled), pair_(reader.next()) {}

 protected:
  PairBytes read(size_t, uint64_t begin, uint64_t end) override {
    pair_.wait_for(end);
    return {pair_.left() + begin, pair_.right() + begin};
  }

 private:
  ArrivingPair& pair_;
};

/// In the page cache: read again in every pass, a stretch at a time into a core's own cache. That is cheaper
/// than keeping a copy, and takes no memory.
class CachedSource final : public CheckpointSource {
 public:
  using Buffers = std::vector<std::vector<std::byte>>;  // two for each worker

  CachedSource(const InputFiles& inputs, Buffers& buffers, const FusePlan::Tensor& tensor, Progress& progress,
               const std::atomic<bool>& cancelled)
      : CheckpointSource(tensor.left.size(), progress, cancelled),
        inputs_(inputs),
        buffers_(buffers),
        tensor_(tensor) {}

 protected:
  PairBytes read(size_t worker, uint64_t begin, uint64_t end) override {
    return {read_side(buffers_[2 * worker], tensor_.left, begin, end),
            read_side(buffers_[2 * worker + 1], tensor_.right, begin, end)};
  }

 private:
  const std::byte* read_side(std::vector<std::byte>& buffer, const ByteRange& range, uint64_t begin,
                             uint64_t end) {
    if (buffer.size() < end - begin) buffer.resize(end - begin);
    inputs_.file(range.input).read_exactly({buffer.data(), end - begin}, range.begin + begin);
    return buffer.data();
  }

  const InputFiles& inputs_;
  Buffers& buffers_;
  const FusePlan::Tensor& tensor_;
};

class CheckpointSink final : public TensorSink {
 public:
  CheckpointSink(OutputWriter& writer, size_t output, uint64_t begin, Progress& progress)
      : writer_(writer), output_(output), begin_(begin), progress_(progress) {}

  uint64_t phase() const override { return begin_ % kWriteBlock; }
  std::byte* open(uint64_t begin, uint64_t end) override {
    return writer_.open(output_, begin_ + begin, begin_ + end);
  }
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

FuseTotals fuse_checkpoints(const FusePlan& plan, const FuseCallbacks& callbacks,
                            const std::atomic<bool>& cancelled) {
  const auto started = std::chrono::steady_clock::now();
  check_plan(plan);
  const std::vector<OutputLayout> layouts = lay_out(plan);

  InputFiles inputs(plan.inputs);
  const auto cached = [&](const FusePlan::Tensor& tensor) {
    return inputs.cached(tensor.left.input) && inputs.cached(tensor.right.input);
  };
  std::vector<PairReader::Pair> to_read;
  uint64_t bytes_read = 0, bytes_fused = 0;
  for (const FusePlan::Tensor& tensor : plan.tensors) {
    if (!cached(tensor)) to_read.push_back({tensor.left, tensor.right});
    bytes_read += tensor.left.size() + tensor.right.size();
    bytes_fused += output_bytes(tensor);
  }
  Progress progress(callbacks, bytes_read + bytes_fused, plan.tensors.size());

  std::vector<OutputWriter::Output> outputs;
  for (size_t i = 0; i < layouts.size(); i++) outputs.push_back({plan.outputs[i].path, layouts[i].bytes});
  OutputWriter writer(std::move(outputs), plan.threads + kBlocksInFlight);
  PairReader reader(inputs, std::move(to_read));
  CachedSource::Buffers buffers(2 * plan.threads);
  WorkerPool pool(plan.threads);
  TensorFuser fuser(plan.options, *plan.instruction_set, pool);

  std::vector<size_t> placed(plan.outputs.size(), 0);
  for (size_t i = 0; i < layouts.size(); i++)
    if (layouts[i].begins.empty()) write_header(writer, i, layouts[i].header);
  for (const FusePlan::Tensor& tensor : plan.tensors) {
    const OutputLayout& layout = layouts[tensor.output];
    size_t& index = placed[tensor.output];
    if (index == 0) write_header(writer, tensor.output, layout.header);
    std::unique_ptr<CheckpointSource> source;
    if (cached(tensor))
      source = std::make_unique<CachedSource>(inputs, buffers, tensor, progress, cancelled);
    else
      source = std::make_unique<ArrivingSource>(reader, tensor, progress, cancelled);
    CheckpointSink sink(writer, tensor.output, layout.begins[index++], progress);
    const TensorPair pair{tensor.name, tensor.dtype, tensor.shape, elements_of(tensor)};
    const TensorStats stats = fuser.fuse(pair, tensor.output_dtype, *source, sink);
    if (callbacks.on_tensor)
      callbacks.on_tensor(tensor, {stats, pair.elements, source->left_hash(), source->right_hash()});
    if (!cached(tensor)) reader.release();
    progress.add(0, 1);
  }
  writer.finish();
  inputs.check_unchanged();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  return {bytes_read, writer.bytes_written(), seconds.count(), inputs.any_direct(), writer.direct()};
}

}  // namespace branchmerge
