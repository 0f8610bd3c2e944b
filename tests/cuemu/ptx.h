// SPDX-License-Identifier: Apache-2.0
// What kernels/cuda/ptx.h has instructions for.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuemu/core.h"
#include "cuemu/warp.h"

namespace cuemu {

// Number i, 0 or 1, of a pair.
template <class T>
CUEMU_OWN float number_of(unsigned pair, int i) {
  const unsigned bits = pair >> (16 * i) & 0xffffu;
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return std::bit_cast<float>(bits << 16);
  // Where float32 has a half's bits, the exponent lacks 112; that of infinities and NaN is the largest.
  const unsigned size = (bits & 0x7fffu) << 13;
  const float number = size < 0x0f800000u ? std::bit_cast<float>(size) * 0x1p112f : std::bit_cast<float>(size | 0x7f800000u);
  return bits & 0x8000u ? -number : number;
}

// The upper bit of a nibble would ask for the byte's sign.
inline unsigned permute_bytes(unsigned x, unsigned y, unsigned selector, const Where& where) {
  if (selector & 0x8888u) fail("permute_bytes: a nibble of the selector is more than 7", where);
  return __byte_perm(x, y, selector);
}

// Every lane publishes its fragments, and sums its four numbers of d.
template <class T>
CUEMU_OWN void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Where& where) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) require_sm(80, "mma of bfloat16", where);
  struct A {
    unsigned r[4];
  };
  struct B {
    unsigned r[2];
  };
  float a_rows[2][16], b_columns[2][16];  // rows g and g + 8 of A, columns 2 t and 2 t + 1 of B
  const int g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
  const Slot* slots = exchange(0xffffffffu, pack(A{{a[0], a[1], a[2], a[3]}}), "mma", where);
  for (int k = 0; k < 16; ++k) {
    const A from = unpack<A>(slots[4 * g + k % 8 / 2]);
    for (int row = 0; row < 2; ++row) a_rows[row][k] = number_of<T>(from.r[k / 8 * 2 + row], k % 2);
  }
  slots = exchange(0xffffffffu, pack(B{{b[0], b[1]}}), "mma", where);
  for (int k = 0; k < 16; ++k) {
    for (int column = 0; column < 2; ++column) {
      const B from = unpack<B>(slots[4 * (2 * t + column) + k % 8 / 2]);
      b_columns[column][k] = number_of<T>(from.r[k / 8], k % 2);
    }
  }
  for (int i = 0; i < 4; ++i) {
    double products[16];
    for (int k = 0; k < 16; ++k) products[k] = double{a_rows[i / 2][k]} * b_columns[i % 2][k];
    d[i] = add_products(d[i], products, 16);
  }
}

inline unsigned tf32(float x, const Where& where) {
  require_sm(80, "cvt to tf32", where);
  if (!std::isfinite(x)) return std::isnan(x) ? 0x7fffffffu & ~0x1fffu : std::bit_cast<unsigned>(x);
  return (std::bit_cast<unsigned>(x) + 0x1000u) & ~0x1fffu;
}

CUEMU_OWN inline void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Where& where) {
  require_sm(80, "mma of tf32", where);
  struct A {
    unsigned r[4];
  };
  struct B {
    unsigned r[2];
  };
  if (((a[0] | a[1] | a[2] | a[3] | b[0] | b[1]) & 0x1fffu) != 0) fail("mma of tf32: a number has more bits than tf32", where);
  const int g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
  float a_rows[2][8];
  const Slot* slots = exchange(0xffffffffu, pack(A{{a[0], a[1], a[2], a[3]}}), "mma", where);
  for (int k = 0; k < 8; ++k) {
    const A from = unpack<A>(slots[4 * g + k % 4]);
    for (int row = 0; row < 2; ++row) a_rows[row][k] = std::bit_cast<float>(from.r[k / 4 * 2 + row]);
  }
  slots = exchange(0xffffffffu, pack(B{{b[0], b[1]}}), "mma", where);
  double products[4][8];
  for (int k = 0; k < 8; ++k) {
    for (int column = 0; column < 2; ++column) {
      const B from = unpack<B>(slots[4 * (2 * t + column) + k % 4]);
      const float number = std::bit_cast<float>(from.r[k / 4]);
      for (int row = 0; row < 2; ++row) products[2 * row + column][k] = double{a_rows[row][k]} * number;
    }
  }
  for (int i = 0; i < 4; ++i) d[i] = add_products(d[i], products[i], 8);
}

// Every lane with an address reads its row and publishes it.
template <int n>
void ldmatrix(unsigned (&r)[n], bool transposed, const void* row, const Where& where) {
  struct Row {
    std::uint16_t numbers[8];
  };
  Row mine{};
  if (lane() < 8 * n) {
    if (!is_shared(row, sizeof mine)) fail("ldmatrix: the row is not in shared memory", where);
    if (reinterpret_cast<std::uintptr_t>(row) % sizeof mine != 0) fail("ldmatrix: the row is not aligned to 16 bytes", where);
    std::memcpy(&mine, row, sizeof mine);
  }
  const Slot* const slots = exchange(0xffffffffu, pack(mine), "ldmatrix", where);
  const int l = static_cast<int>(lane());
  for (int j = 0; j < n; ++j) {
    unsigned pair = 0;
    for (int i = 0; i < 2; ++i) {
      const int line = l / 4, place = 2 * (l % 4) + i;
      const Row from = unpack<Row>(slots[8 * j + (transposed ? place : line)]);
      pair |= static_cast<unsigned>(from.numbers[transposed ? line : place]) << (16 * i);
    }
    r[j] = pair;
  }
}

// The target is NaN until the copy is made, as late as it may be.
inline void cp_async(void* shared, const void* global, unsigned bytes, const Where& where) {
  if (!is_shared(shared, bytes)) fail("cp_async: the target is not in shared memory", where);
  if ((reinterpret_cast<std::uintptr_t>(shared) | reinterpret_cast<std::uintptr_t>(global)) % bytes != 0) {
    fail("cp_async: source or target is not aligned to " + std::to_string(bytes) + " bytes", where);
  }
  std::memset(shared, 0xFF, bytes);
  forget_writes(shared, bytes);
  begin_copy({shared, global, bytes}, where);
}

inline void cp_async_commit() { close_copy_group(); }

inline void cp_async_wait(unsigned pending) {
  for (AsyncCopy copy; take_copy(pending, copy);) std::memcpy(copy.to, copy.from, copy.bytes);
}

}  // namespace cuemu

#define CUEMU_CALLER , const cuemu::Where& where = cuemu::Where::current()
