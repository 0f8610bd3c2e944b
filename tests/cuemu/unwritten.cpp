// SPDX-License-Identifier: Apache-2.0
// Reads of memory that was never written. Code under -fsanitize=thread calls TSan before each access; the linker's --wrap puts
// the functions below in between. They end in a jump, so that TSan takes the kernel for its caller as before.
#include "cuemu/core.h"
#include "cuemu/scheduler.h"

#ifndef CUEMU_TSAN
#include <cstdlib>

namespace cuemu {

unsigned char* take_space(std::size_t bytes) { return static_cast<unsigned char*>(std::aligned_alloc(4096, bytes)); }
void release_space(unsigned char* p, std::size_t) { std::free(p); }
void renew_space(unsigned char*, std::size_t) {}
void forget_writes(void*, std::size_t) {}

}  // namespace cuemu

#else
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <unwind.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <string_view>

#include "cuemu/sanitizer.h"

namespace cuemu {
namespace {

// All that is ever taken, and behind it a flag for each byte: whether it was written.
constexpr std::size_t kSpace = std::size_t{256} << 30;
unsigned char* space = nullptr;
std::size_t taken = 0;
std::multimap<std::size_t, unsigned char*> released;  // by bytes

unsigned char* map(void* at, std::size_t bytes, int flags) {
  void* const p = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return static_cast<unsigned char*>(p);
}

inline volatile unsigned char* flags_of(const volatile void* p) {
  const std::size_t at = static_cast<const volatile unsigned char*>(p) - space;
  return at < kSpace ? space + kSpace + at : nullptr;
}

bool is_kernel_code(std::string_view file) {
  return file.ends_with(".cu") || (file.find("kernels/cuda/") != file.npos && !file.ends_with("/ptx.h"));
}

// Of a call on the stack and what was inlined into it, innermost first, the first place in a kernel: into a std::string.
_Unwind_Reason_Code take_kernel_line(_Unwind_Context* call, void* line) {
  char places[4096] = {};
  __sanitizer_symbolize_pc(reinterpret_cast<void*>(_Unwind_GetIP(call)), "%s:%l", places, sizeof places);
  for (const char* place = places; *place; place += std::strlen(place) + 1) {
    const std::string_view text = place;
    if (!is_kernel_code(text.substr(0, text.rfind(':')))) continue;
    *static_cast<std::string*>(line) = text.substr(text.rfind('/') + 1);
    return _URC_END_OF_STACK;
  }
  return _URC_NO_REASON;
}

[[gnu::noinline]] void complain_of_read(bool shared) {
  if (!in_kernel() || !current_report().empty()) return;
  sanitizer::ignore_accesses();
  std::string line = "unknown line";
  _Unwind_Backtrace(take_kernel_line, &line);
  complain(std::string("reads ") + (shared ? "shared " : "") + "memory that was never written", line);
  // What comes of it, a race or a wild index, may end the process before the report is taken.
  __sanitizer_set_death_callback([] {
    if (!current_report().empty()) std::fprintf(stderr, "cuemu: %s\n", current_report().c_str());
  });
  sanitizer::watch_accesses();
}

inline void before_read(const volatile void* p, std::size_t bytes) {
  const auto* const written = flags_of(p);
  for (std::size_t i = 0; written && i < bytes; ++i) {
    if (!written[i]) return complain_of_read(is_shared(const_cast<const void*>(p), 1));
  }
}
inline void before_write(void* p, std::size_t bytes) {
  if (auto* const written = flags_of(p)) sanitizer::fill(const_cast<unsigned char*>(written), 1, bytes);
}

}  // namespace

unsigned char* take_space(std::size_t bytes) {
  if (space == nullptr) space = map(nullptr, 2 * kSpace, 0);
  if (const auto same = released.find(bytes); same != released.end()) return released.extract(same).mapped();
  if (bytes > kSpace - taken) return nullptr;
  taken += bytes;
  return space + taken - bytes;
}
void release_space(unsigned char* p, std::size_t bytes) {
  forget_writes(p, bytes);
  released.emplace(bytes, p);
}
void renew_space(unsigned char* p, std::size_t bytes) { map(p, bytes, MAP_FIXED); }
void forget_writes(void* p, std::size_t bytes) { sanitizer::fill(static_cast<unsigned char*>(p) + kSpace, 0, bytes); }

}  // namespace cuemu

#define CUEMU_WRAP(access, bytes)               \
  void __real___tsan_##access##bytes(void* p);  \
  void __wrap___tsan_##access##bytes(void* p) { \
    cuemu::before_##access(p, bytes);           \
    return __real___tsan_##access##bytes(p);    \
  }
#define CUEMU_WRAP_RANGE(access)                                    \
  void __real___tsan_##access##_range(void* p, std::size_t bytes);  \
  void __wrap___tsan_##access##_range(void* p, std::size_t bytes) { \
    cuemu::before_##access(p, bytes);                               \
    return __real___tsan_##access##_range(p, bytes);                \
  }
// The emulator's atomics begin with a load.
#define CUEMU_WRAP_LOAD(bits)                                                                \
  std::uint##bits##_t __real___tsan_atomic##bits##_load(const volatile void* p, int order);  \
  std::uint##bits##_t __wrap___tsan_atomic##bits##_load(const volatile void* p, int order) { \
    cuemu::before_read(p, bits / 8);                                                         \
    return __real___tsan_atomic##bits##_load(p, order);                                      \
  }

extern "C" {

CUEMU_WRAP(read, 1)
CUEMU_WRAP(read, 2)
CUEMU_WRAP(read, 4)
CUEMU_WRAP(read, 8)
CUEMU_WRAP(read, 16)
CUEMU_WRAP_RANGE(read)
CUEMU_WRAP(write, 1)
CUEMU_WRAP(write, 2)
CUEMU_WRAP(write, 4)
CUEMU_WRAP(write, 8)
CUEMU_WRAP(write, 16)
CUEMU_WRAP_RANGE(write)
CUEMU_WRAP_LOAD(16)
CUEMU_WRAP_LOAD(32)
CUEMU_WRAP_LOAD(64)

// A kernel's, or the runtime's: copies may have what was never written, which the copy then is too.
void* __real_memcpy(void* to, const void* from, std::size_t bytes);
void* __wrap_memcpy(void* to, const void* from, std::size_t bytes) {
  const auto* const source = cuemu::flags_of(from);
  auto* const target = cuemu::flags_of(to);
  if (source && target && !cuemu::in_kernel()) {
    for (std::size_t i = 0; i < bytes; ++i) target[i] = source[i];
  } else {
    cuemu::before_read(from, bytes);
    cuemu::before_write(to, bytes);
  }
  return __real_memcpy(to, from, bytes);
}
void* __real_memset(void* to, int value, std::size_t bytes);
void* __wrap_memset(void* to, int value, std::size_t bytes) {
  cuemu::before_write(to, bytes);
  return __real_memset(to, value, bytes);
}

}  // extern "C"
#endif
