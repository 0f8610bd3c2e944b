// SPDX-License-Identifier: Apache-2.0
// c = x w for blocks of bfloat16 (see bf16_x86.h). AVX-512: 8 rows of x times 32 of W stay in 16 registers; a pair of x is
// broadcast, a line of W loaded once for 8 products. AMX: 2 x 2 tiles of 16 x 16, each load of a tile serves two products.
#include "kernels/cpu/bf16_x86.h"

#if defined(__x86_64__) && defined(__linux__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own header (bug 105593)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#define RWKV_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define RWKV_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16")))

namespace rwkv::cpu {
namespace {

// 16 x 16 pairs, rows ld numbers apart, transposed. The blocks of 128 bits come in order by loading, four of each vector.
RWKV_AVX512 inline void transpose_pairs(const std::uint16_t* w, std::int64_t ld, void* panel) {
  auto* const to = static_cast<std::uint32_t*>(panel);
  for (int q = 0; q < 4; ++q) {
    __m512i r[4];
    for (int i = 0; i < 4; ++i) {
      const auto block = [&](int j) RWKV_AVX512 {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(w + (i + 4 * j) * ld + 8 * q));
      };
      r[i] = _mm512_inserti32x4(_mm512_castsi128_si512(block(0)), block(1), 1);
      r[i] = _mm512_inserti32x4(_mm512_inserti32x4(r[i], block(2), 2), block(3), 3);
    }
    const __m512i even = _mm512_unpacklo_epi32(r[0], r[1]), even_high = _mm512_unpackhi_epi32(r[0], r[1]);
    const __m512i odd = _mm512_unpacklo_epi32(r[2], r[3]), odd_high = _mm512_unpackhi_epi32(r[2], r[3]);
    _mm512_store_si512(to + (4 * q + 0) * kPanel, _mm512_unpacklo_epi64(even, odd));
    _mm512_store_si512(to + (4 * q + 1) * kPanel, _mm512_unpackhi_epi64(even, odd));
    _mm512_store_si512(to + (4 * q + 2) * kPanel, _mm512_unpacklo_epi64(even_high, odd_high));
    _mm512_store_si512(to + (4 * q + 3) * kPanel, _mm512_unpackhi_epi64(even_high, odd_high));
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

// The first n of 16 lanes.
RWKV_AVX512 inline __mmask16 lanes(std::int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

// Numbers [k, k + 32) of a row of x; 0 beyond its n.
RWKV_AVX512 inline __m512i plane_of_row(const RowSource& from, std::int64_t row, std::int64_t k) {
  const float* const x = from.x + row * from.n;
  const std::int64_t n = row < from.rows ? from.n : 0;
  __m512 low = _mm512_maskz_loadu_ps(lanes(n - k), x + k), high = _mm512_maskz_loadu_ps(lanes(n - k - 16), x + k + 16);
  for (int plane = 0; plane < from.plane; ++plane) low = remainder(low), high = remainder(high);
  return bits(_mm512_cvtne2ps_pbh(high, low));
}

// 16 numbers and the 16 after them as pairs.
RWKV_AVX512 inline __m512i interleave_halves(__m512i x) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(x));
  const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x, 1));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

RWKV_AVX512 void pack_x(const RowSource& from, std::uint16_t* panel) {
  alignas(64) std::uint16_t tile[kPanel * 32];
  for (std::int64_t k = 0; k < from.depth; k += 32) {
    std::uint16_t* const to = from.order == PanelOrder::rows ? panel + k * kPanel : tile;
    for (std::int64_t row = 0; row < kPanel; ++row) {
      const __m512i x = plane_of_row(from, row, k);
      _mm512_storeu_si512(to + row * 32, from.order == PanelOrder::halves ? interleave_halves(x) : x);
    }
    if (to == tile) transpose_pairs(tile, 32, panel + k * kPanel);
  }
}

// Rows k and k + 1 of 16 columns as pairs.
RWKV_AVX512 inline __m512i pairs(const WeightSource& from, std::int64_t k, std::int64_t column) {
  const __mmask16 mask = lanes(from.rows - column);
  const std::uint16_t* const w = from.w + k * from.ld + column;
  const __m256i low = _mm256_maskz_loadu_epi16(k < from.depth ? mask : 0, w);
  const __m256i high = _mm256_maskz_loadu_epi16(k + 1 < from.depth ? mask : 0, w + from.ld);
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

// The same of 32 columns: two panels. Instructions interleave within 128 bits, so blocks of 64 are put in their places before.
RWKV_AVX512 inline void interleave(const std::uint16_t* w, std::int64_t ld, std::uint32_t* first, std::uint32_t* second) {
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  const __m512i low = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(w));
  const __m512i high = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(w + ld));
  _mm512_store_si512(first, _mm512_unpacklo_epi16(low, high));
  _mm512_store_si512(second, _mm512_unpackhi_epi16(low, high));
}

RWKV_AVX512 void pack_w(const WeightSource& from, std::uint32_t* panels) {
  const std::int64_t depth = (from.depth + 31) / 32 * 32, rows = (from.rows + 31) / 32 * 32;
  if (from.input_major) {
    for (std::int64_t i = 0; i < rows; i += 2 * kPanel) {
      std::uint32_t *const to = panels + i * depth / 2, *const second = to + kPanel * depth / 2;
      const std::int64_t whole = i + 2 * kPanel <= from.rows ? from.depth / 2 * 2 : 0;
      for (std::int64_t k = 0; k < whole; k += 2) {
        interleave(from.w + k * from.ld + i, from.ld, to + k / 2 * kPanel, second + k / 2 * kPanel);
      }
      for (std::int64_t k = whole; k < depth; k += 2) {
        _mm512_store_si512(to + k / 2 * kPanel, pairs(from, k, i));
        _mm512_store_si512(second + k / 2 * kPanel, pairs(from, k, i + kPanel));
      }
    }
    return;
  }
  for (std::int64_t i = 0; i < rows; i += kPanel) {
    for (std::int64_t k = 0; k < depth; k += 32) {
      const std::uint16_t* const w = from.w + i * from.ld + k;
      std::uint32_t* const to = panels + i * depth / 2 + k / 2 * kPanel;
      if (i + kPanel <= from.rows && k + 32 <= from.depth) {
        transpose_pairs(w, from.ld, to);
        continue;
      }
      alignas(64) std::uint16_t edge[kPanel * 32] = {};
      for (std::int64_t row = 0; row < std::min(kPanel, from.rows - i); ++row) {
        std::copy_n(w + row * from.ld, std::min<std::int64_t>(32, from.depth - k), edge + row * 32);
      }
      transpose_pairs(edge, 32, to);
    }
  }
}

// Asks for the next lines of a matrix, for the second-level cache.
inline void ask(Ahead& next, std::int64_t lines) {
  for (; lines > 0 && next.row < next.rows; --lines) {
    __builtin_prefetch(next.w + next.row * next.ld + next.column, 0, 2);
    next.column += 32;
    if (next.column >= next.n) next.column = 0, ++next.row;
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

RWKV_AVX512 inline __m512bh line(const std::uint32_t* w) {
  __m512bh out;
  std::memcpy(&out, w, sizeof out);
  return out;
}

constexpr int kRows = 8;

// kRows rows of a panel of x times two panels of W.
RWKV_AVX512 inline void rows_times_panels(const Bf16Block& o, const std::uint16_t* x, float* c) {
  __m512 sum[kRows][2];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) sum[i][j] = o.add ? _mm512_loadu_ps(c + i * o.ldc + kPanel * j) : _mm512_setzero_ps();
  }
  for (std::int64_t k = 0; k < o.depth; k += 2) {
    const __m512bh w[2] = {line(o.w[0] + k / 2 * kPanel), line(o.w[1] + k / 2 * kPanel)};
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512bh pair = broadcast(x + k / 32 * 32 * kPanel + i * 32 + k % 32);
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], pair, w[j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) _mm512_storeu_ps(c + i * o.ldc + kPanel * j, sum[i][j]);
  }
}

RWKV_AVX512 void multiply_avx512(const Bf16Block& o) {
  ask(*o.ahead, o.depth / 32 * o.lines);
  for (int i = 0; i < (o.one ? 1 : 2) * kPanel; i += kRows) {
    rows_times_panels(o, o.x[i / kPanel] + i % kPanel * 32, o.c + i * o.ldc);
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

// Tiles 0-3: c; 4, 5: x; 6, 7: W.
RWKV_AMX void multiply_amx(const Bf16Block& o) {
  constexpr std::int64_t kLine = 64;  // bytes of a tile's row
  const std::int64_t ldc = o.ldc * 4;
  float *const c = o.c, *const second = c + kPanel * o.ldc;
  memory_barrier();
  if (o.add) {
    _tile_loadd(0, c, ldc);
    _tile_loadd(1, c + kPanel, ldc);
    if (!o.one) _tile_loadd(2, second, ldc);
    if (!o.one) _tile_loadd(3, second + kPanel, ldc);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t k = 0; k < o.depth; k += 32) {
    ask(*o.ahead, o.lines);
    _tile_loadd(4, o.x[0] + k * kPanel, kLine);
    _tile_loadd(6, o.w[0] + k / 2 * kPanel, kLine);
    _tile_loadd(7, o.w[1] + k / 2 * kPanel, kLine);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (o.one) continue;
    _tile_loadd(5, o.x[1] + k * kPanel, kLine);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, ldc);
  _tile_stored(1, c + kPanel, ldc);
  if (!o.one) _tile_stored(2, second, ldc);
  if (!o.one) _tile_stored(3, second + kPanel, ldc);
  memory_barrier();
}

// One product of tiles of a Bf16Rows or Bf16Columns, and what is to be done meanwhile, which may store what a later tile loads.
#define RWKV_MULTIPLY(c, a, b) \
  o.beside(o.work);            \
  memory_barrier();            \
  _tile_dpbf16ps(c, a, b)

// Tiles 0-3: c; 4, 5: W; 6, 7: x. With one panel of x, four of W follow each other in two pairs.
template <bool kTwo>
RWKV_AMX void rows_times_panels(const Bf16Rows& o) {
  constexpr std::int64_t kLine = 64, kWidth = (kTwo ? 2 : 1) * kPanel, kC = kWidth * 4;
  const std::int64_t ld = o.ld * 2;
  memory_barrier();
  if (o.first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t k = 0; k < o.depth; k += 32) {
    const std::uint16_t *const w = o.w + k, *const x = o.x[0] + k * kPanel, *const second = kTwo ? o.x[1] + k * kPanel : x;
    _tile_loadd(4, w, ld);
    _tile_loadd(5, w + kPanel * o.ld, ld);
    for (std::int64_t plane = 0; plane < o.planes; ++plane) {
      _tile_loadd(6, x + plane * o.plane, kLine);
      RWKV_MULTIPLY(0, 4, 6);
      RWKV_MULTIPLY(1, 5, 6);
      if (!kTwo) continue;
      _tile_loadd(7, second + plane * o.plane, kLine);
      RWKV_MULTIPLY(2, 4, 7);
      RWKV_MULTIPLY(3, 5, 7);
    }
    if (kTwo) continue;
    _tile_loadd(4, w + 2 * kPanel * o.ld, ld);
    _tile_loadd(5, w + 3 * kPanel * o.ld, ld);
    for (std::int64_t plane = 0; plane < o.planes; ++plane) {
      _tile_loadd(7, x + plane * o.plane, kLine);
      RWKV_MULTIPLY(2, 4, 7);
      RWKV_MULTIPLY(3, 5, 7);
    }
  }
  if (o.last) {
    float* const third = kTwo ? o.c + kPanel : o.c + 2 * kPanel * kWidth;
    _tile_stored(0, o.c, kC);
    _tile_stored(1, o.c + kPanel * kWidth, kC);
    _tile_stored(2, third, kC);
    _tile_stored(3, third + kPanel * kWidth, kC);
  }
  memory_barrier();
}

RWKV_AMX void multiply_rows_amx(const Bf16Rows& o) { o.x[1] ? rows_times_panels<true>(o) : rows_times_panels<false>(o); }

constexpr std::int64_t kStripTiles = 4, kWords = kPanel * kPanel;  // of W for each 32 of depth; of a tile

// Tiles 0-3: c. One panel of x: 4, 5, 6: its planes; 7: W, read once for all of them.
RWKV_AMX void panel_times_columns(const Bf16Columns& o) {
  constexpr std::int64_t kLine = 64;
  for (std::int64_t k = 0; k < o.depth; k += 32) {
    const std::uint16_t* const x = o.x[0] + k * kPanel;
    const std::uint32_t* w = o.w + k / 32 * kStripTiles * kWords;
    _tile_loadd(4, x, kLine);
    if (o.planes > 1) _tile_loadd(5, x + o.plane, kLine);
    if (o.planes > 2) _tile_loadd(6, x + 2 * o.plane, kLine);
#define RWKV_COLUMNS(c)     \
  _tile_loadd(7, w, kLine); \
  RWKV_MULTIPLY(c, 4, 7);   \
  if (o.planes > 1) {       \
    RWKV_MULTIPLY(c, 5, 7); \
  }                         \
  if (o.planes > 2) {       \
    RWKV_MULTIPLY(c, 6, 7); \
  }                         \
  w += kWords
    RWKV_COLUMNS(0);
    RWKV_COLUMNS(1);
    RWKV_COLUMNS(2);
    RWKV_COLUMNS(3);
#undef RWKV_COLUMNS
  }
}

// Two: 4, 5: a plane of each; 6, 7: W.
RWKV_AMX void two_panels_times_columns(const Bf16Columns& o) {
  constexpr std::int64_t kLine = 64;
  for (std::int64_t k = 0; k < o.depth; k += 32) {
    const std::uint32_t* const w = o.w + k / 32 * kStripTiles * kWords;
    _tile_loadd(6, w, kLine);
    _tile_loadd(7, w + kWords, kLine);
    for (std::int64_t plane = 0; plane < o.planes; ++plane) {
      _tile_loadd(4, o.x[0] + plane * o.plane + k * kPanel, kLine);
      _tile_loadd(5, o.x[1] + plane * o.plane + k * kPanel, kLine);
      RWKV_MULTIPLY(0, 4, 6);
      RWKV_MULTIPLY(1, 5, 6);
      RWKV_MULTIPLY(2, 4, 7);
      RWKV_MULTIPLY(3, 5, 7);
    }
  }
}

RWKV_AMX void multiply_columns_amx(const Bf16Columns& o) {
  constexpr std::int64_t kLine = 64, kTile = kPanel * kPanel;
  memory_barrier();
  if (o.add) {
    _tile_loadd(0, o.c, kLine);
    _tile_loadd(1, o.c + kTile, kLine);
    _tile_loadd(2, o.c + 2 * kTile, kLine);
    _tile_loadd(3, o.c + 3 * kTile, kLine);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  o.x[1] ? two_panels_times_columns(o) : panel_times_columns(o);
  _tile_stored(0, o.c, kLine);
  _tile_stored(1, o.c + kTile, kLine);
  _tile_stored(2, o.c + 2 * kTile, kLine);
  _tile_stored(3, o.c + 3 * kTile, kLine);
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

constexpr Bf16Kernel kAvx512{"AVX512_BF16", false, nothing, multiply_avx512, nullptr, nullptr, nothing, pack_x, pack_w};
constexpr Bf16Kernel kAmx{"AMX",   true,   begin_amx, multiply_amx, multiply_rows_amx, multiply_columns_amx,
                          end_amx, pack_x, pack_w};

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
