#pragma once
// Copies from global to shared memory that are there at the barrier after they were waited for, and not
// before.
#include "block.h"

// NOLINTBEGIN: CUDA's names and signatures
inline void __pipeline_memcpy_async(void* shared, const void* global, size_t bytes) {
  ::cuda_emulation::copy_later(shared, global, bytes);
}
inline void __pipeline_commit() { ::cuda_emulation::commit_copies(); }
inline void __pipeline_wait_prior(size_t batches) { ::cuda_emulation::wait_for_copies(batches); }
// NOLINTEND
