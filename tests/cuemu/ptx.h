// SPDX-License-Identifier: Apache-2.0
// What kernels/cuda/ptx.h has instructions for.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
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
float number_of(unsigned pair, int i) {
  const auto bits = static_cast<std::uint16_t>(pair >> (16 * i));
  return static_cast<float>(std::bit_cast<T>(bits));
}

// The upper bit of a nibble would ask for the byte's sign.
inline unsigned permute_bytes(unsigned x, unsigned y, unsigned selector, const Where& where) {
  if (selector & 0x8888u) fail("permute_bytes: a nibble of the selector is more than 7", where);
  return __byte_perm(x, y, selector);
}

// A float32 and exact products as tensor cores add them, which is documented nowhere but was measured (Fasi et al., Numerical
// behavior of NVIDIA tensor cores, PeerJ Computer Science 7:e330), on the least exact ones: four products at a time, each
// number cut to the last bit that the largest has in float32, and so is their sum. Newer cards keep a bit or two more.
template <int n>
float add_products(float sum, const double (&products)[n]) {
  const auto power_of_two = [](int exponent) { return std::bit_cast<double>(std::uint64_t(1023 + exponent) << 52); };
  const auto last_bit = [](double x) {
    return std::max(static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52) - 1023 - 23, -149);
  };
  const auto cut = [&](double x, int bit) {
    return static_cast<double>(static_cast<std::int64_t>(x * power_of_two(-bit))) * power_of_two(bit);
  };
  for (int first = 0; first < n; first += 4) {
    double largest = std::abs(double{sum}), all = sum;
    for (int i = first; i < first + 4; ++i) largest = std::max(largest, std::abs(products[i])), all += products[i];
    if (std::isfinite(all) && largest <= 0x1p120) {
      const int bit = last_bit(largest);
      all = cut(sum, bit);
      for (int i = first; i < first + 4; ++i) all += cut(products[i], bit);
      all = cut(all, last_bit(std::abs(all)));
    }
    sum = static_cast<float>(all);
  }
  return sum;
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
    d[i] = add_products(d[i], products);
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
  for (int i = 0; i < 4; ++i) d[i] = add_products(d[i], products[i]);
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
