// SPDX-License-Identifier: Apache-2.0
// A function on a stack of its own, which can be left in the middle and resumed: how a CUDA thread waits for others.
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

  // The next resume() begins entry, which never returns: its last act is leave().
  void start(void (*entry)());
  void resume();
  // Within the fiber: goes back to resume().
  void suspend() { leave(false); }
  [[noreturn]] void finish();

 private:
  static void enter();
  void leave(bool for_good);

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
