#include "merge/step_reader.h"

#include <algorithm>

namespace branchmerge {
namespace {

/// What one worker computes at a time of a result that is kept. A multiple of every element's size.
constexpr uint64_t kPieceBytes = 128 << 10;

}  // namespace

StepReader::StepReader(TensorOperator& step, const std::vector<TensorReader*>& operands, uint64_t elements,
                       uint64_t element_bytes, size_t workers, std::span<std::byte> kept)
    : step_(step),
      operands_(operands),
      bytes_(elements * element_bytes),
      element_bytes_(element_bytes),
      buffers_(workers),
      kept_(kept),
      pieces_(kept.empty() ? 0 : (bytes_ + kPieceBytes - 1) / kPieceBytes),
      counting_(!kept.empty()) {}

const std::byte* StepReader::fetch(size_t worker, uint64_t begin, uint64_t end) {
  if (!kept_.empty()) {
    make_present(worker, begin, end);
    return kept_.data() + begin;
  }
  std::vector<std::byte>& buffer = buffers_[worker];
  if (buffer.size() < end - begin) buffer.resize(end - begin);
  compute(worker, begin, end, buffer.data());
  return buffer.data();
}

void StepReader::begin_counting() {
  if (kept_.empty()) counting_ = true;
}

/// Computes the pieces that nobody began, then waits for those that others did: a worker that waits has
/// nothing left that another could wait for.
void StepReader::make_present(size_t worker, uint64_t begin, uint64_t end) {
  const size_t first = begin / kPieceBytes, last = (end + kPieceBytes - 1) / kPieceBytes;
  for (size_t i = first; i < last; i++) {
    Piece missing = Piece::kMissing;
    if (!pieces_[i].compare_exchange_strong(missing, Piece::kBegun)) continue;
    try {
      compute(worker, i * kPieceBytes, std::min(bytes_, (i + 1) * kPieceBytes),
              kept_.data() + i * kPieceBytes);
    } catch (...) {
      pieces_[i] = Piece::kMissing;
      pieces_[i].notify_all();
      throw;
    }
    pieces_[i] = Piece::kThere;
    pieces_[i].notify_all();
  }
  for (size_t i = first; i < last; i++) {
    pieces_[i].wait(Piece::kBegun);
    // Its worker failed, and takes the whole merge with it.
    if (pieces_[i] == Piece::kMissing) return make_present(worker, begin, end);
  }
}

void StepReader::compute(size_t worker, uint64_t begin, uint64_t end, std::byte* out) {
  const uint64_t taken = step_.apply(worker, begin / element_bytes_, end / element_bytes_, operands_, out);
  if (!counting_) return;
  taken_ += taken;
  elements_ += (end - begin) / element_bytes_;
}

}  // namespace branchmerge
