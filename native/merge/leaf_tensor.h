#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/input_files.h"
#include "io/read_ahead.h"
#include "tensor/tensor_reader.h"

namespace branchmerge {

/// A tensor of one input model, hashed piece by piece the first time that somebody looks.
class LeafTensor {
 public:
  /// on_first_look(bytes) is called once for every byte, from any thread.
  LeafTensor(const InputFiles& inputs, const ByteRange& range, std::function<void(uint64_t)> on_first_look);

  /// The bytes come from read-ahead: range `index` of `group`. Otherwise they are read from the file each
  /// time: from the page cache, which is cheaper than keeping a copy, or because the tensor is too large to
  /// keep.
  void attach(ArrivingGroup& group, size_t index);

  uint64_t size() const { return range_.size(); }
  /// Bytes [begin, end), in `buffer` when they are read from the file.
  const std::byte* fetch(std::vector<std::byte>& buffer, uint64_t begin, uint64_t end);
  /// The same, into room for end − begin + kHashPieceBytes.
  const std::byte* fetch(std::byte* room, uint64_t begin, uint64_t end);
  /// Hashes what nobody looked at.
  void finish();
  /// After finish(): docs/provenance.md.
  std::string hash() const;

 private:
  void hash_pieces(const std::byte* bytes, uint64_t begin, size_t first, size_t last);

  const InputFiles& inputs_;
  const ByteRange range_;
  const std::function<void(uint64_t)> on_first_look_;
  ArrivingGroup* group_ = nullptr;
  size_t index_ = 0;
  std::vector<uint64_t> hashes_;
  std::vector<std::atomic<bool>> hashed_;
  std::atomic<size_t> pieces_left_;
};

/// A leaf as one operand of one operator: with buffers of its own.
class LeafReader final : public TensorReader {
 public:
  LeafReader(LeafTensor& leaf, size_t workers, const std::atomic<bool>& cancelled)
      : leaf_(leaf), buffers_(workers), cancelled_(cancelled) {}
  const std::byte* fetch(size_t worker, uint64_t begin, uint64_t end) override;

 private:
  LeafTensor& leaf_;
  std::vector<std::vector<std::byte>> buffers_;
  const std::atomic<bool>& cancelled_;
};

}  // namespace branchmerge
