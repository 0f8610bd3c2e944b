// SPDX-License-Identifier: Apache-2.0
// AddressSanitizer and ThreadSanitizer as the emulator uses them; nothing in other builds. The emulator itself is compiled with
// neither: CUEMU_ASAN and CUEMU_TSAN say what it is linked with. ASan sees its copies all the same, TSan no access of its own.
#pragma once
#include <cstddef>

#if defined(CUEMU_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CUEMU_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace cuemu::sanitizer {

inline void forbid([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(CUEMU_ASAN)
  __asan_poison_memory_region(p, bytes);
#endif
}
inline void allow([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(CUEMU_ASAN)
  __asan_unpoison_memory_region(p, bytes);
#endif
}

// Fills memory behind the sanitizers' backs, also where it is forbidden: TSan must not take it for an access.
inline void fill(void* p, unsigned char value, std::size_t bytes) {
#if defined(__x86_64__)
  asm volatile("rep stosb" : "+D"(p), "+c"(bytes) : "a"(value) : "memory");
#else
  for (volatile auto* at = static_cast<unsigned char*>(p); bytes > 0; --bytes) *at++ = value;
#endif
}

// Accesses of two actors are a race unless a release of one and an acquire of the other, after it, order them.
struct Order {
  char address;
};
inline void release([[maybe_unused]] Order& order) {
#ifdef CUEMU_TSAN
  __tsan_release(&order);
#endif
}
inline void acquire([[maybe_unused]] Order& order) {
#ifdef CUEMU_TSAN
  __tsan_acquire(&order);
#endif
}

// Whom TSan takes for the accessing thread: a CUDA thread, or a stream for its copies.
class Actor {
 public:
  Actor() = default;
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor() { reset(); }

  void create() {
#ifdef CUEMU_TSAN
    if (!fiber_) fiber_ = __tsan_create_fiber(0);
#endif
  }
  void reset() {
#ifdef CUEMU_TSAN
    if (fiber_) __tsan_destroy_fiber(fiber_);
#endif
    fiber_ = nullptr;
  }
  void act() const { act_as(fiber_); }

  static void* current() {
#ifdef CUEMU_TSAN
    return __tsan_get_current_fiber();
#else
    return nullptr;
#endif
  }
  static void act_as([[maybe_unused]] void* fiber) {
#ifdef CUEMU_TSAN
    __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
#endif
  }

 private:
  void* fiber_ = nullptr;
};

// Accesses of the acting actor that are not to be seen: the emulator's own, through malloc and memcpy, on the host's stack.
inline void ignore_accesses() {
#ifdef CUEMU_TSAN
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
}
inline void watch_accesses() {
#ifdef CUEMU_TSAN
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

// While it lives, the emulator works for the actor.
class Acting {
 public:
  explicit Acting(const Actor& actor) {
    actor.act();
    ignore_accesses();
  }
  Acting(const Acting&) = delete;
  Acting& operator=(const Acting&) = delete;
  ~Acting() {
    watch_accesses();
    Actor::act_as(before_);
  }

 private:
  void* before_ = Actor::current();
};

}  // namespace cuemu::sanitizer
