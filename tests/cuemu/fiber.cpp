// SPDX-License-Identifier: Apache-2.0
#include "cuemu/fiber.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "cuemu/sanitizer.h"

#if defined(__x86_64__) && !defined(CUEMU_UCONTEXT)
// Saves the registers that a call preserves, and the stack pointer in *from. 15 times faster than swapcontext, which makes two
// system calls.
extern "C" void cuemu_switch(void** from, void* to);
asm(R"(
.text
.globl cuemu_switch
.type cuemu_switch, @function
cuemu_switch:
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
.size cuemu_switch, .-cuemu_switch
)");
#endif

namespace cuemu {
namespace {

constexpr std::size_t kStack = 256 * 1024, kGuardPage = 4096, kEntryFrames = 1024, kCacheLine = 64;

#if defined(__x86_64__) && !defined(CUEMU_UCONTEXT)
using Context = void*;
void switch_context(Context& from, Context& to) { cuemu_switch(&from, to); }
#else
using Context = ucontext_t;
void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }
#endif

Fiber host;  // has no stack of its own: what was left for the first fiber
Fiber* running = &host;
#if defined(CUEMU_ASAN)
const void* host_stack = nullptr;
std::size_t host_bytes = 0;
Fiber* came_from = nullptr;  // to the running one

// What AddressSanitizer wants to hear on the new stack.
void arrive(void* my_stack) {
  const void* stack = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(my_stack, &stack, &bytes);
  if (came_from == &host) {
    host_stack = stack;
    host_bytes = bytes;
  }
}
#endif

}  // namespace

Fiber::~Fiber() {
  if (stack_) munmap(stack_ - kGuardPage, kStack + kGuardPage);
}

void Fiber::start(void (*entry)()) {
  if (!stack_) {
    void* const memory =
        mmap(nullptr, kStack + kGuardPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, kGuardPage, PROT_NONE);
    stack_ = static_cast<unsigned char*>(memory) + kGuardPage;
    // Tops at the same place of a page would all share a few lines of the first-level cache.
    static std::size_t n_stack = 0;
    bytes_ = kStack - n_stack++ * kCacheLine % kGuardPage;
  }
  // A fiber that ended left the frames of its entry behind, one that was given up all of them.
  const std::size_t left = ended_ ? kEntryFrames : bytes_;
  sanitizer::allow(stack_ + bytes_ - left, left);
  ended_ = false;
  entry_ = entry;
#if defined(__x86_64__) && !defined(CUEMU_UCONTEXT)
  // What cuemu_switch pops: six registers and enter() as return address. Then the stack is as after a call.
  auto** top = reinterpret_cast<void**>(stack_ + bytes_);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&Fiber::enter);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context_ = top;
#else
  getcontext(&context_);
  context_.uc_stack = {.ss_sp = stack_, .ss_flags = 0, .ss_size = bytes_};
  makecontext(&context_, &Fiber::enter, 0);
#endif
}

void Fiber::enter() {
#if defined(CUEMU_ASAN)
  arrive(nullptr);
#endif
  running->entry_();
  std::abort();
}

void Fiber::leave(Fiber* next, [[maybe_unused]] bool for_good) {
  Fiber& me = *running;
  running = next ? next : &host;
#if defined(CUEMU_ASAN)
  came_from = &me;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &me.asan_stack_, next ? next->stack_ : host_stack,
                                 next ? next->bytes_ : host_bytes);
#endif
  switch_context(me.context_, running->context_);
#if defined(CUEMU_ASAN)
  arrive(me.asan_stack_);
#endif
}

void Fiber::finish(Fiber* next) {
  running->ended_ = true;
  leave(next, true);
}

}  // namespace cuemu
