#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what a call must preserve on the old stack, and takes it from the new one. ucontext does the same
// with two system calls for the signal mask: ten times as slow.
extern "C" void cuda_emulation_switch(void** save, void* load);
asm(R"(.text
.p2align 4
.type cuda_emulation_switch,@function
cuda_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_emulation_switch,.-cuda_emulation_switch
)");
#endif

namespace cuda_emulation {

struct Fibers::Context {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context{};
#endif
  // For the address sanitizer: its own stack of this fiber, and the bounds of the scheduler's stack.
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  size_t size = 0;
};

namespace {

#if defined(__SANITIZE_ADDRESS__)
void before_switch(void** fake_stack, const void* bottom, size_t size) {
  __sanitizer_start_switch_fiber(fake_stack, bottom, size);
}
void after_switch(void* fake_stack, const void** old_bottom, size_t* old_size) {
  __sanitizer_finish_switch_fiber(fake_stack, old_bottom, old_size);
}
void forget_frames(void* stack, size_t size) { __asan_unpoison_memory_region(stack, size); }
#else
void before_switch(void**, const void*, size_t) {}
void after_switch(void*, const void**, size_t*) {}
void forget_frames(void*, size_t) {}
#endif

}  // namespace

Fibers::~Fibers() { release(); }

void Fibers::release() {
  delete[] contexts_;
  delete scheduler_;
  if (stacks_ != nullptr) munmap(stacks_, capacity_ * kStackBytes);
}

void Fibers::reserve(size_t n) {
  if (n <= capacity_) return;
  release();
  void* memory = mmap(nullptr, n * kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  stacks_ = static_cast<std::byte*>(memory);
  contexts_ = new Context[n];
  scheduler_ = new Context;
  capacity_ = n;
}

void Fibers::begin(size_t n, void (*entry)()) {
  reserve(n);
  for (size_t i = 0; i < n; i++) {
    Context& fiber = contexts_[i];
    fiber = {};
    std::byte* stack = stacks_ + i * kStackBytes;
    forget_frames(stack, kStackBytes);
#if defined(__x86_64__)
    // A return address for the first switch, below it one that is never used (the ABI's alignment), above it
    // six registers. Stacks that all ended at the same offset of a page would share cache sets.
    void** top = reinterpret_cast<void**>(stack + kStackBytes - 64 - i % 8 * 64);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(entry);
    for (int r = 0; r < 6; r++) *--top = nullptr;
    fiber.stack_pointer = top;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#endif
  }
}

void Fibers::resume(size_t i) {
  Context& fiber = contexts_[i];
  before_switch(&scheduler_->fake_stack, stacks_ + i * kStackBytes, kStackBytes);
#if defined(__x86_64__)
  cuda_emulation_switch(&scheduler_->stack_pointer, fiber.stack_pointer);
#else
  swapcontext(&scheduler_->context, &fiber.context);
#endif
  after_switch(scheduler_->fake_stack, nullptr, nullptr);
}

void Fibers::yield(size_t i, bool last) {
  Context& fiber = contexts_[i];
  before_switch(last ? nullptr : &fiber.fake_stack, scheduler_->bottom, scheduler_->size);
#if defined(__x86_64__)
  cuda_emulation_switch(&fiber.stack_pointer, scheduler_->stack_pointer);
#else
  swapcontext(&fiber.context, &scheduler_->context);
#endif
  after_switch(fiber.fake_stack, nullptr, nullptr);
}

void Fibers::enter() { after_switch(nullptr, &scheduler_->bottom, &scheduler_->size); }

}  // namespace cuda_emulation
