// SPDX-License-Identifier: Apache-2.0
// A function on a stack of its own, which can be left in the middle and resumed: how a CUDA thread waits for others.
// Fibers switch to each other directly: a return in one then goes where the processor expects it after the call in the other.
#pragma once
#include <cstddef>

#if !defined(__x86_64__) || defined(CUEMU_UCONTEXT)
#include <ucontext.h>
#endif

namespace cuemu {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // The next switch to it begins entry, whose last act is finish(). That does not return, but is not [[noreturn]]:
  // AddressSanitizer clears the whole stack before a call that is.
  void start(void (*entry)());
  // Leaves the running fiber, or the host's stack, for another; null: for the host's stack. Returns when somebody comes back.
  static void switch_to(Fiber* next) { leave(next, false); }
  static void finish(Fiber* next);

 private:
  static void enter();
  static void leave(Fiber* next, bool for_good);

  unsigned char* stack_ = nullptr;
  std::size_t bytes_ = 0;  // of it that are used
  void (*entry_)() = nullptr;
  void* asan_stack_ = nullptr;
  bool ended_ = true;
#if defined(__x86_64__) && !defined(CUEMU_UCONTEXT)
  void* context_ = nullptr;  // its stack pointer; all else is on the stack
#else
  ucontext_t context_{};
#endif
};

}  // namespace cuemu
