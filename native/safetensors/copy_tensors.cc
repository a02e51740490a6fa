#include "safetensors/copy_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "io/file.h"
#include "tensor/convert.h"
#include "tensor/finite.h"

namespace branchmerge {
namespace {

constexpr uint64_t kPieceElements = 1 << 20;

uint64_t element_bytes(DType dtype) { return dtype_bits(dtype) / 8; }

uint64_t elements_of(const TensorCopy& tensor) {
  return (tensor.end - tensor.begin) / element_bytes(tensor.dtype);
}

/// Elements that are moved at a time: whole heads where rows change places.
uint64_t piece_elements(const TensorCopy& tensor) {
  if (tensor.head_rows == 0) return kPieceElements;
  const uint64_t head = tensor.head_rows * tensor.row_elements;
  return std::max<uint64_t>(1, kPieceElements / head) * head;
}

[[noreturn]] void refuse(const std::string& what) { throw Error("ERR_INVALID_ARGUMENT", what); }

void check(const CopyPlan& plan, uint64_t header_bytes) {
  if (header_bytes > plan.output_bytes) refuse("The header is larger than its file");
  for (const TensorCopy& tensor : plan.tensors) {
    if (tensor.input >= plan.inputs.size() || tensor.begin > tensor.end ||
        tensor.end > plan.inputs[tensor.input].bytes)
      refuse("A tensor's range does not fit its input");
    if (!dtype_is_float(tensor.dtype) || !dtype_is_float(tensor.output_dtype))
      refuse("Only floats can be converted");
    if ((tensor.end - tensor.begin) % element_bytes(tensor.dtype) != 0)
      refuse("A tensor's range holds no whole number of elements");
    uint64_t head, bytes;
    if (__builtin_mul_overflow(tensor.head_rows, tensor.row_elements, &head) || tensor.head_rows % 2 != 0 ||
        (tensor.head_rows > 0 && (head == 0 || elements_of(tensor) % head != 0)))
      refuse("A tensor's heads do not fit its size");
    if (__builtin_mul_overflow(elements_of(tensor), element_bytes(tensor.output_dtype), &bytes) ||
        tensor.output_begin < header_bytes || tensor.output_begin > plan.output_bytes ||
        bytes > plan.output_bytes - tensor.output_begin)
      refuse("A tensor does not fit the output");
  }
}

void interleave_halves(const TensorCopy& tensor, std::span<const std::byte> in, std::vector<std::byte>& out) {
  const uint64_t row = tensor.row_elements * element_bytes(tensor.output_dtype), half = tensor.head_rows / 2;
  out.resize(in.size());
  for (uint64_t head = 0; head < in.size(); head += tensor.head_rows * row)
    for (uint64_t j = 0; j < tensor.head_rows; j++)
      std::memcpy(out.data() + head + (j % half * 2 + j / half) * row, in.data() + head + j * row, row);
}

/// `at`: bytes of the element of the input.
[[noreturn]] void refuse_element(const TensorCopy& tensor, const std::string& path, uint64_t index,
                                 const std::byte* at) {
  double value = 0;
  widen_elements(tensor.dtype, at, &value, 1);
  const std::string element =
      "Tensor '" + tensor.name + "' of " + path + ": element " + std::to_string(index);
  if (!std::isfinite(value))
    throw Error("ERR_NON_FINITE",
                element + (std::isnan(value) ? " is NaN" : " is infinite") +
                    ". The checkpoint comes from a broken training run or a damaged conversion");
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  throw Error("ERR_NON_FINITE", element + " is " + text.data() + ", more than " +
                                    std::string(dtype_name(tensor.output_dtype)) +
                                    " can hold. Choose BF16 or F32 (dtype, --dtype)");
}

/// Buffers that last from one tensor to the next.
class Copier {
 public:
  Copier(const File& output, const std::function<void(uint64_t)>& on_progress,
         const std::atomic<bool>& cancelled)
      : output_(output), on_progress_(on_progress), cancelled_(cancelled) {}

  void copy(const TensorCopy& tensor, const File& input, const std::string& path) {
    const uint64_t elements = elements_of(tensor), piece = piece_elements(tensor);
    for (uint64_t first = 0; first < elements; first += piece) {
      if (cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
      move(tensor, input, path, first, std::min(piece, elements - first));
    }
  }

 private:
  void move(const TensorCopy& tensor, const File& input, const std::string& path, uint64_t first,
            uint64_t count) {
    const uint64_t in_size = element_bytes(tensor.dtype), out_size = element_bytes(tensor.output_dtype);
    read_.resize(count * in_size);
    input.read_exactly(read_, tensor.begin + first * in_size);
    converted_.resize(count * out_size);
    (void)convert_elements(tensor.dtype, read_.data(), tensor.output_dtype, converted_.data(), count);
    const uint64_t bad = find_non_finite(tensor.output_dtype, converted_.data(), count);
    if (bad < count) refuse_element(tensor, path, first + bad, read_.data() + bad * in_size);
    if (tensor.head_rows > 0) {
      interleave_halves(tensor, converted_, ordered_);
      std::swap(converted_, ordered_);
    }
    output_.write_all(converted_, tensor.output_begin + first * out_size);
    written_ += converted_.size();
    on_progress_(written_);
  }

  const File& output_;
  const std::function<void(uint64_t)>& on_progress_;
  const std::atomic<bool>& cancelled_;
  std::vector<std::byte> read_, ordered_, converted_;
  uint64_t written_ = 0;
};

std::vector<File> open_inputs(const CopyPlan& plan) {
  std::vector<File> files;
  for (const CopyPlan::Input& input : plan.inputs) {
    files.push_back(File::open_for_reading(input.path));
    if (files.back().size() != input.bytes)
      throw Error("ERR_FILE_CHANGED", input.path + ": was changed since its header was read. Run again.");
  }
  return files;
}

}  // namespace

void copy_tensors(const CopyPlan& plan, std::span<const std::byte> header,
                  const std::function<void(uint64_t)>& on_progress, const std::atomic<bool>& cancelled) {
  check(plan, header.size());
  const std::vector<File> inputs = open_inputs(plan);
  const File output = File::create(plan.output);
  // The file has its size, and zeros between the tensors, before any of them is there.
  output.resize(plan.output_bytes);
  output.write_all(header, 0);
  Copier copier(output, on_progress, cancelled);
  for (const TensorCopy& tensor : plan.tensors)
    copier.copy(tensor, inputs[tensor.input], plan.inputs[tensor.input].path);
  output.sync();
}

}  // namespace branchmerge
