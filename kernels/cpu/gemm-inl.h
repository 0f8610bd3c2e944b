// SPDX-License-Identifier: Apache-2.0
// c = a b for blocks of float32, and the transpositions around it: a [n, depth] are rows of weights, b [depth, panel_rows] is a
// panel of x transposed, so that a number of a is broadcast to many rows of x. kRows x 1 or 2 vectors of c stay in registers.
// Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_GEMM_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_GEMM_INL
#undef RWKV_CPU_GEMM_INL
#else
#define RWKV_CPU_GEMM_INL
#endif

#include <algorithm>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

// AVX-512 and NEON have 32 registers, the others 16.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kRows = 12;
#else
constexpr int kRows = 6;
#endif

// Rows of x in a panel: two vectors, or one that holds them all.
HWY_INLINE std::int64_t panel_rows(std::int64_t rows) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(F32()));
  return rows <= lanes ? lanes : 2 * lanes;
}

// to[j, i] = from[i, j] for i < 4, j < Lanes: blocks of 128 bits are transposed in registers.
HWY_INLINE void transpose_four(const float* from, std::int64_t ld_from, float* to, std::int64_t ld_to) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) to[i] = from[i * ld_from];
  static_cast<void>(ld_to);
#else
  const F32 d;
  const hn::Repartition<double, F32> d64;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + ld_from);
  const auto r2 = hn::LoadU(d, from + 2 * ld_from), r3 = hn::LoadU(d, from + 3 * ld_from);
  const auto lower01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1)),
             upper01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
  const auto lower23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3)),
             upper23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
  HWY_ALIGN float columns[4][HWY_MAX_BYTES / sizeof(float)];
  hn::Store(hn::BitCast(d, hn::InterleaveLower(d64, lower01, lower23)), d, columns[0]);
  hn::Store(hn::BitCast(d, hn::InterleaveUpper(d64, lower01, lower23)), d, columns[1]);
  hn::Store(hn::BitCast(d, hn::InterleaveLower(d64, upper01, upper23)), d, columns[2]);
  hn::Store(hn::BitCast(d, hn::InterleaveUpper(d64, upper01, upper23)), d, columns[3]);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t j = 0; j < lanes; j += 4) {
    for (int k = 0; k < 4; ++k) hwy::CopyBytes<16>(columns[k] + j, to + (j + k) * ld_to);
  }
#endif
}

// to[j, i] = from[i, j] for i < rows, j < columns.
HWY_INLINE void transpose(const float* from, std::int64_t ld_from, std::int64_t rows, std::int64_t columns, float* to,
                          std::int64_t ld_to) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(F32()));
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    std::int64_t j = 0;
    for (; j + lanes <= columns; j += lanes) transpose_four(from + i * ld_from + j, ld_from, to + j * ld_to + i, ld_to);
    for (; j < columns; ++j) {
      for (int k = 0; k < 4; ++k) to[j * ld_to + i + k] = from[(i + k) * ld_from + j];
    }
  }
  for (; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) to[j * ld_to + i] = from[i * ld_from + j];
  }
}

// Numbers that will be needed soon and come from afar: `step` of them are asked for after each step of the work at hand.
struct Soon {
  const float* from;
  std::int64_t step;
};

// kRows rows of a times a panel of kVectors vectors, added to c.
template <int kVectors, std::int64_t kStride>
HWY_INLINE void rows_times_panel(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::int64_t depth,
                                 float* HWY_RESTRICT c, std::int64_t ldc, Soon soon) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V<F32> sum[kRows][kVectors];
  HWY_UNROLL(kRows)
  for (int i = 0; i < kRows; ++i) {
    HWY_UNROLL(2)
    for (int j = 0; j < kVectors; ++j) sum[i][j] = hn::LoadU(d, c + i * ldc + j * lanes);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    V<F32> line[kVectors];
    __builtin_prefetch(soon.from + k * soon.step, 0, 2);
    HWY_UNROLL(2)
    for (int j = 0; j < kVectors; ++j) line[j] = hn::LoadU(d, b + j * lanes);
    b += kVectors * lanes;
    HWY_UNROLL(kRows)
    for (int i = 0; i < kRows; ++i) {
      const auto w = hn::Set(d, a[i * kStride + k]);
      HWY_UNROLL(2)
      for (int j = 0; j < kVectors; ++j) sum[i][j] = hn::MulAdd(w, line[j], sum[i][j]);
    }
  }
  HWY_UNROLL(kRows)
  for (int i = 0; i < kRows; ++i) {
    HWY_UNROLL(2)
    for (int j = 0; j < kVectors; ++j) hn::StoreU(sum[i][j], d, c + i * ldc + j * lanes);
  }
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
