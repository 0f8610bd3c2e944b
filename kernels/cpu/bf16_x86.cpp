// SPDX-License-Identifier: Apache-2.0
// c = a b for blocks of bfloat16 (see bf16_x86.h). AVX-512: 12 rows of a times 32 columns of b stay in 24 registers; a pair of
// a is broadcast, a line of b loaded once for 12 products. AMX: 2 x 2 tiles of 16 x 16, each load of a tile serves two
// products.
#include "kernels/cpu/bf16_x86.h"

#if defined(__x86_64__) && defined(__linux__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own header (bug 105593)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#define RWKV_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define RWKV_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16")))

namespace rwkv::cpu {
namespace {

// 16 x 16 numbers of 32 bits, transposed.
RWKV_AVX512 inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

RWKV_AVX512 inline __m512i bits(__m512bh x) {
  __m512i out;
  std::memcpy(&out, &x, sizeof out);
  return out;
}

// What rounding takes away.
RWKV_AVX512 inline __m512 remainder(__m512 x) {
  const __m512bh rounded = _mm512_cvtne2ps_pbh(x, x);
  const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(bits(rounded))), 16);
  return _mm512_sub_ps(x, _mm512_castsi512_ps(wide));
}

// Columns k .. k + 31 of a row of x as 16 pairs.
RWKV_AVX512 inline __m512i pairs(const PanelSource& from, std::int64_t row, std::int64_t k) {
  if (row >= from.rows) return _mm512_setzero_si512();
  const std::int64_t left = from.n - k;
  const auto mask = [](std::int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); };
  const float* const x = from.x + row * from.n + k;
  __m512 low = _mm512_maskz_loadu_ps(mask(left), x), high = _mm512_maskz_loadu_ps(mask(left - 16), x + 16);
  if (from.remainder) {
    low = remainder(low);
    high = remainder(high);
  }
  return bits(_mm512_cvtne2ps_pbh(high, low));
}

RWKV_AVX512 void pack(const PanelSource& from, std::uint32_t* panel) {
  for (std::int64_t m = 0; m < kPanel; m += 16) {
    for (std::int64_t k = 0; k < from.depth; k += 32) {
      __m512i r[16];
      for (int i = 0; i < 16; ++i) r[i] = pairs(from, m + i, k);
      transpose(r);
      for (int i = 0; i < 16 && k + 2 * i < from.depth; ++i) _mm512_storeu_si512(panel + (k / 2 + i) * kPanel + m, r[i]);
    }
  }
}

// Rows k and k + 1 of 16 columns as pairs.
RWKV_AVX512 inline __m512i pairs(const ColumnSource& from, std::int64_t k, std::int64_t column) {
  const std::int64_t left = from.count - column;
  const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
  const std::uint16_t* const v = from.v + k * from.ld + column;
  const __m256i low = _mm256_maskz_loadu_epi16(k < from.depth ? mask : 0, v);
  const __m256i high = _mm256_maskz_loadu_epi16(k + 1 < from.depth ? mask : 0, v + from.ld);
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

RWKV_AVX512 void transpose_columns(const ColumnSource& from, std::int64_t rows, std::uint16_t* to, std::int64_t ld) {
  for (std::int64_t k = 0; k < from.depth; k += 32) {
    for (std::int64_t ahead = k + 64; ahead < k + 96; ++ahead) {  // the rows are far apart, no prefetcher sees them
      for (std::int64_t column = 0; column < from.count; column += 32) __builtin_prefetch(from.v + ahead * from.ld + column);
    }
    for (std::int64_t first = 0; first < rows; first += 16) {
      __m512i r[16];
      for (int i = 0; i < 16; ++i) r[i] = pairs(from, k + 2 * i, first);
      transpose(r);
      for (int i = 0; i < 16 && first + i < rows; ++i) _mm512_storeu_si512(to + (first + i) * ld + k, r[i]);
    }
  }
}

RWKV_AVX512 inline __m512bh broadcast(const std::uint16_t* pair) {
  std::int32_t both;
  std::memcpy(&both, pair, sizeof both);
  const __m512i all = _mm512_set1_epi32(both);
  __m512bh out;
  std::memcpy(&out, &all, sizeof out);
  return out;
}

RWKV_AVX512 inline __m512bh line(const std::uint32_t* b) {
  __m512bh out;
  std::memcpy(&out, b, sizeof out);
  return out;
}

constexpr int kRows = 12;

// kWide vectors of 16 columns.
template <int kWide>
RWKV_AVX512 inline void rows_times_panel(const Bf16Block& o, const std::uint16_t* a, float* c) {
  __m512 sum[kRows][kWide];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kWide; ++j) sum[i][j] = o.add ? _mm512_loadu_ps(c + i * o.ldc + 16 * j) : _mm512_setzero_ps();
  }
  for (std::int64_t k = 0; k < o.depth; k += 2) {
    __m512bh b[kWide];
#pragma GCC unroll 2
    for (int j = 0; j < kWide; ++j) b[j] = line(o.b + k / 2 * kPanel + 16 * j);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const __m512bh w = broadcast(a + i * o.lda + k);
#pragma GCC unroll 2
      for (int j = 0; j < kWide; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], w, b[j]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kWide; ++j) _mm512_storeu_ps(c + i * o.ldc + 16 * j, sum[i][j]);
  }
}

RWKV_AVX512 void multiply_avx512(const Bf16Block& o) {
  for (std::int64_t i = 0; i < o.n; i += kRows) {
    if (o.m <= 16) {
      rows_times_panel<1>(o, o.a + i * o.lda, o.c + i * o.ldc);
    } else {
      rows_times_panel<2>(o, o.a + i * o.lda, o.c + i * o.ldc);
    }
  }
}

struct TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constinit const TileConfig tile_config;

RWKV_AMX void begin_amx() { _tile_loadconfig(&tile_config); }
RWKV_AMX void end_amx() { _tile_release(); }

// GCC does not know that the tile instructions read and write memory.
inline void memory_barrier() { asm volatile("" ::: "memory"); }

// Tiles 0-3: c; 4, 5: a; 6, 7: b.
RWKV_AMX void multiply_amx(const Bf16Block& o) {
  const std::int64_t lda = o.lda * 2, ldb = kPanel * 4, ldc = o.ldc * 4;
  memory_barrier();
  for (std::int64_t i = 0; i < o.n; i += 32) {
    const std::uint16_t* const a = o.a + i * o.lda;
    float* const c = o.c + i * o.ldc;
    if (o.add) {
      _tile_loadd(0, c, ldc);
      _tile_loadd(1, c + 16, ldc);
      _tile_loadd(2, c + 16 * o.ldc, ldc);
      _tile_loadd(3, c + 16 * o.ldc + 16, ldc);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (std::int64_t k = 0; k < o.depth; k += 32) {
      const std::uint32_t* const b = o.b + k / 2 * kPanel;
      _tile_loadd(4, a + k, lda);
      _tile_loadd(6, b, ldb);
      _tile_loadd(5, a + 16 * o.lda + k, lda);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
      if (o.m <= 16) continue;
      _tile_loadd(7, b + 16, ldb);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, ldc);
    _tile_stored(1, c + 16, ldc);
    _tile_stored(2, c + 16 * o.ldc, ldc);
    _tile_stored(3, c + 16 * o.ldc + 16, ldc);
  }
  memory_barrier();
}

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bf16");
}

// Linux gives the registers only to a process that asks for them.
bool has_amx() {
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (kBf16 | kTile)) != (kBf16 | kTile)) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

void nothing() {}

constexpr Bf16Kernel kAvx512{"AVX512_BF16", kRows, 2, nothing, multiply_avx512, nothing, pack, transpose_columns};
constexpr Bf16Kernel kAmx{"AMX", 32, 32, begin_amx, multiply_amx, end_amx, pack, transpose_columns};

}  // namespace

const Bf16Kernel* bf16_kernel(const char* name) {
  if (!std::strcmp(name, kAmx.name)) return has_amx() ? &kAmx : nullptr;
  return !std::strcmp(name, kAvx512.name) && has_avx512() ? &kAvx512 : nullptr;
}

const Bf16Kernel* bf16_kernel() {
  static const Bf16Kernel* const best = has_amx() ? &kAmx : has_avx512() ? &kAvx512 : nullptr;
  return best;
}

}  // namespace rwkv::cpu
#else
namespace rwkv::cpu {
const Bf16Kernel* bf16_kernel() { return nullptr; }
const Bf16Kernel* bf16_kernel(const char*) { return nullptr; }
}  // namespace rwkv::cpu
#endif
