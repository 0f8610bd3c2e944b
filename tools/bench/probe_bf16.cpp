// SPDX-License-Identifier: Apache-2.0
// bfloat16 units of x86: AMX tiles where CPU and system allow them, else AVX-512 dot products. Checked before anything is
// executed.
#include "bench/probe.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace rwkv::bench {

#if defined(__x86_64__)
namespace {

// Twelve chains, as in probe.cpp: 16 sums of two products each.
constexpr std::int64_t kDotFlops = std::int64_t{12} * 16 * 2 * 2;

__attribute__((target("avx512f,avx512bf16"))) void dot_products(std::int64_t rounds) {
  const __m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f));
  __m512 a0 = _mm512_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0, a8 = a0, a9 = a0, a10 = a0,
         a11 = a0;
  for (; rounds > 0; --rounds) {
    a0 = _mm512_dpbf16_ps(a0, x, x);
    a1 = _mm512_dpbf16_ps(a1, x, x);
    a2 = _mm512_dpbf16_ps(a2, x, x);
    a3 = _mm512_dpbf16_ps(a3, x, x);
    a4 = _mm512_dpbf16_ps(a4, x, x);
    a5 = _mm512_dpbf16_ps(a5, x, x);
    a6 = _mm512_dpbf16_ps(a6, x, x);
    a7 = _mm512_dpbf16_ps(a7, x, x);
    a8 = _mm512_dpbf16_ps(a8, x, x);
    a9 = _mm512_dpbf16_ps(a9, x, x);
    a10 = _mm512_dpbf16_ps(a10, x, x);
    a11 = _mm512_dpbf16_ps(a11, x, x);
    // The chains are equal and nobody reads them: without this a compiler may compute one of them, or none.
    asm volatile(""
                 : "+v"(a0), "+v"(a1), "+v"(a2), "+v"(a3), "+v"(a4), "+v"(a5), "+v"(a6), "+v"(a7), "+v"(a8), "+v"(a9),
                   "+v"(a10), "+v"(a11));
  }
}

// Six chains of one product [16, 32] x [32, 16] each.
constexpr std::int64_t kTileFlops = std::int64_t{6} * 16 * 16 * 32 * 2;

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// Numbers of both signs between 1 and 2: products of zeros are a fifth faster.
struct Tile {
  alignas(64) std::uint16_t numbers[16 * 32] = {};
  constexpr Tile() {
    for (int i = 0; i < 16 * 32; ++i) numbers[i] = static_cast<std::uint16_t>(0x3f80 + i * 37 % 128 + i % 3 % 2 * 0x8000);
  }
};
constexpr Tile kTile;  // constant, like the configuration below

__attribute__((target("amx-tile,amx-bf16"))) void tile_products(std::int64_t rounds) {
  static constexpr TileConfig kConfig;  // not on the stack: to GCC 12 the load reads 8 bytes, and it drops the other stores
  _tile_loadconfig(&kConfig);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_loadd(6, kTile.numbers, 64);
  _tile_loadd(7, kTile.numbers, 64);
  for (; rounds > 0; --rounds) {
    _tile_dpbf16ps(0, 6, 7);
    _tile_dpbf16ps(1, 6, 7);
    _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7);
    _tile_dpbf16ps(4, 6, 7);
    _tile_dpbf16ps(5, 6, 7);
  }
  _tile_release();
}

// Linux saves the tiles of a process only after it has asked: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA).
bool may_use_tiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

Loop bf16_units() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("amx-tile") && may_use_tiles())
    return {kTileFlops, tile_products};
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16")) return {kDotFlops, dot_products};
  return {0, nullptr};
}

#else

Loop bf16_units() { return {0, nullptr}; }

#endif

}  // namespace rwkv::bench
