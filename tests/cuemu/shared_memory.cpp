// SPDX-License-Identifier: Apache-2.0
// Shared memory: each array of a block is cut from an arena, between red zones that ASan forbids.
#include <cstdint>
#include <new>

#include "cuemu/core.h"
#include "cuemu/cuemu.h"
#include "cuemu/scheduler.h"

namespace cuemu {
namespace {

#ifdef CUEMU_TSAN
// Blocks share no memory, so that TSan sees them apart: neither those of a grid, nor those of kernels that nothing orders.
constexpr std::size_t kArena = std::size_t{256} << 20;
#else
constexpr std::size_t kArena = std::size_t{1} << 20;
#endif
constexpr std::size_t kRedZone = 256, kAlignment = 16, kMostArrays = 64;

struct Array {
  const void* key;
  unsigned char* data;
  std::size_t bytes;
};
Array arrays[kMostArrays];  // of the running block; nothing is allocated while a grid runs: TSan takes that for accesses
std::size_t n_array = 0, used = 0, block_bytes = 0, dynamic_bytes = 0;
const char dynamic_key = 0;

unsigned char* arena = nullptr;

void renew_arena() {
  if (arena == nullptr) arena = take_space(kArena);
  if (arena == nullptr) throw std::bad_alloc();
  renew_space(arena, kArena);
  sanitizer::forbid(arena, kArena);
  used = 0;
}

void* cut(const void* key, std::size_t bytes) {
  block_bytes += bytes;
  if (block_bytes > shared_memory_limit()) {
    fail("uses " + std::to_string(block_bytes) + " bytes of shared memory, sm_" + std::to_string(config().sm) + " has " +
             std::to_string(shared_memory_limit()),
         Where::current());
  }
  const std::size_t first = (used + kRedZone + kAlignment - 1) / kAlignment * kAlignment;
  if (n_array == kMostArrays || first + bytes + kRedZone > kArena)
    fail("too many shared arrays for the emulator", Where::current());
  unsigned char* const data = arena + first;
  sanitizer::allow(data, bytes);
  sanitizer::fill(data, kNeverWritten, bytes);
  forget_writes(data, bytes);
  used = first + bytes;
  arrays[n_array++] = {key, data, bytes};
  return data;
}

}  // namespace

void shared_memory_for_grid() {
  if (arena == nullptr || used > kArena / 2) renew_arena();
}

void shared_memory_for_block(std::size_t bytes) {
#ifndef CUEMU_TSAN
  sanitizer::forbid(arena, used);
  used = 0;
#endif
  n_array = block_bytes = 0;
  dynamic_bytes = bytes;
}

void* shared_array(const void* key, std::size_t bytes) {
  for (std::size_t i = 0; i < n_array; ++i) {
    if (arrays[i].key == key) return arrays[i].data;
  }
  return cut(key, bytes);
}

void* dynamic_shared() {
  if (dynamic_bytes == 0) fail("uses dynamic shared memory, but was launched with 0 bytes of it", Where::current());
  return shared_array(&dynamic_key, dynamic_bytes);
}

bool is_shared(const void* p, std::size_t bytes) {
  const auto* const at = static_cast<const unsigned char*>(p);
  for (std::size_t i = 0; i < n_array; ++i) {
    if (at >= arrays[i].data && at + bytes <= arrays[i].data + arrays[i].bytes) return true;
  }
  return false;
}

std::size_t shared_memory_limit() {
  const int sm = config().sm;
  return 1024 * (sm == 75 ? 64 : sm == 80 || sm == 87 ? 163 : sm == 90 || sm == 100 || sm == 103 ? 227 : 99);
}

}  // namespace cuemu
