#pragma once
#include <cstddef>

namespace cuda_emulation {

/// The stacks of a block's threads, and the switch between them and the scheduler. One set a process: fibers
/// are of the thread that resumes them first.
class Fibers {
 public:
  static constexpr size_t kStackBytes = 64 << 10;

  ~Fibers();
  /// Makes fibers 0 to n − 1 begin with entry() when they are resumed next. What they were at is forgotten,
  /// without unwinding.
  void begin(size_t n, void (*entry)());
  /// Runs fiber i until it yields.
  void resume(size_t i);
  /// Back to the scheduler, from inside fiber i. A `last` one is never resumed.
  void yield(size_t i, bool last);
  /// To be called first in a fiber.
  void enter();

 private:
  struct Context;
  Context* contexts_ = nullptr;
  std::byte* stacks_ = nullptr;
  size_t capacity_ = 0;
  Context* scheduler_ = nullptr;

  void reserve(size_t n);
  void release();
};

}  // namespace cuda_emulation
