#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace branchmerge {

/// A tensor that goes into another file, perhaps in another dtype or order.
struct TensorCopy {
  std::string name;     // as messages have it
  size_t input;         // of CopyPlan::inputs
  uint64_t begin, end;  // bytes of the input file
  DType dtype, output_dtype;
  uint64_t output_begin;  // byte of the output file
  /// Rows of a head, 0 to keep their order. Otherwise the two halves of a head's rows are interleaved: row j
  /// of the first half becomes row 2j, row j of the second 2j + 1. (Rotary embeddings pair rows j and j + d/2
  /// in some layouts, 2j and 2j + 1 in others.)
  uint64_t head_rows;
  uint64_t row_elements;
};

/// One file: bytes that are given, then tensors. What nothing covers is zero.
struct CopyPlan {
  struct Input {
    std::string path;
    uint64_t bytes;  // what its header was checked against
  };
  std::string output;  // must not exist
  uint64_t output_bytes;
  std::vector<Input> inputs;
  std::vector<TensorCopy> tensors;
};

/// Writes and syncs the file; publishing it is the caller's. Memory: a few MiB, and one head of an
/// interleaved tensor. on_progress(bytes of the output that are written). Throws ERR_FILE_READ,
/// ERR_FILE_CHANGED, ERR_NON_FINITE for NaN, infinity and what becomes infinite in the output's dtype,
/// ERR_OUTPUT_WRITE, ERR_DISK_FULL, ERR_CANCELLED, ERR_INVALID_ARGUMENT.
void copy_tensors(const CopyPlan& plan, std::span<const std::byte> header,
                  const std::function<void(uint64_t)>& on_progress, const std::atomic<bool>& cancelled);

}  // namespace branchmerge
