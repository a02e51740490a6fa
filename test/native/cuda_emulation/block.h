#pragma once
// Runs one block of CUDA threads, each in a fiber of its own. Threads change places only at barriers and
// exchanges, in an order that a seed decides: a kernel that lacks a barrier gives wrong results under some
// order.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>

struct uint3 {  // NOLINT: CUDA's name
  unsigned x, y, z;
};
struct dim3 {  // NOLINT: CUDA's name
  unsigned x, y, z;
  constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1)  // NOLINT: CUDA's conversion
      : x(x_size), y(y_size), z(z_size) {}
};

namespace cuda_emulation {

/// A kernel did what CUDA does not define: barriers that some threads do not reach, lanes that are not there.
struct KernelError : std::logic_error {
  using std::logic_error::logic_error;
};

/// Which order threads and blocks run in. 0: ascending, and 1: descending, each warp as far as it gets before
/// the next one; others: all threads in step, shuffled at every turn. Under odd ones asynchronous copies are
/// done at once, under even ones at the first barrier after they were waited for.
void set_thread_order(uint64_t seed);

/// "file:line" of every barrier that has been reached since they were forgotten. A dropped one does nothing;
/// "" drops none.
std::set<std::string> reached_barriers();
void forget_barriers();
void drop_barrier(const std::string& name);

/// Runs all blocks of a grid, one after the other.
void run_grid(dim3 grid, dim3 threads, size_t dynamic_shared_bytes, const std::function<void()>& body);

// ---- for code inside a kernel -------------------------------------------------------------------

struct Thread {
  uint3 index;
};
struct Block {
  uint3 index;
  dim3 threads, grid;
};
Thread& current_thread();
Block& current_block();
int lane();

void* dynamic_shared();
/// The block's variable that a declaration, identified by `site`, stands for.
void* static_shared(const void* site, size_t size, size_t alignment);

/// `file` and `line` are where the barrier is in the source.
void synchronize_block(const char* file, unsigned line);
void synchronize_warp(unsigned mask, const char* file, unsigned line);

void copy_later(void* shared, const void* global, size_t bytes);
void commit_copies();
void wait_for_copies(size_t batches);

/// Publishes a value to the lanes of `mask` and waits for theirs: 32 of them, of which only those in `mask`
/// mean anything.
const uint64_t* publish(unsigned mask, uint64_t value);
/// A lane that a shuffle reads must take part in it.
void require_lane(unsigned mask, int lane);

template <class T>
T exchange(unsigned mask, T value, int source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles 4 or 8 bytes");
  require_lane(mask, source);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = publish(mask, bits)[source];
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T, class Combine>
T collect(unsigned mask, T value, const Combine& combine) {
  static_assert(sizeof(T) <= 8, "a lane publishes 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const uint64_t* published = publish(mask, bits);
  T lanes[32];
  for (int l = 0; l < 32; l++) std::memcpy(&lanes[l], &published[l], sizeof(T));
  return combine(lanes);
}

}  // namespace cuda_emulation
