// SPDX-License-Identifier: Apache-2.0
// A tile of whole cache lines at a time is copied in, transposed and copied out: rows of a matrix often lie a multiple of 4096
// bytes apart, where no more than some of their lines fit the first-level cache at once. Vectors of 128 bits do.
#include "kernels/transpose.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/transpose.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kLine = 64;

// n x n elements in n vectors of 16 bytes: interleaving vectors j and j + n / 2 into 2 j and 2 j + 1 moves each number's index
// by one bit, log2(n) times is the transpose.
#if HWY_TARGET == HWY_SCALAR
template <class T>
void transpose_block(const std::byte* in, std::byte* out) {
  for (std::size_t i = 0; i < 16 / sizeof(T); ++i) {
    for (std::size_t m = 0; m < 16 / sizeof(T); ++m)
      std::memcpy(out + m * kLine + i * sizeof(T), in + i * kLine + m * sizeof(T), sizeof(T));
  }
}
#else
template <class T>
HWY_INLINE void transpose_block(const std::byte* in, std::byte* out) {
  constexpr int n = 16 / sizeof(T);
  const HWY_CAPPED(T, n) d;
  hn::Vec<decltype(d)> row[n], next[n];
  HWY_UNROLL(16)
  for (int i = 0; i < n; ++i) row[i] = hn::LoadU(d, reinterpret_cast<const T*>(in + i * kLine));
  HWY_UNROLL(4)
  for (int step = 1; step < n; step *= 2) {
    HWY_UNROLL(8)
    for (int j = 0; j < n / 2; ++j) {
      next[2 * j] = hn::InterleaveLower(d, row[j], row[j + n / 2]);
      next[2 * j + 1] = hn::InterleaveUpper(d, row[j], row[j + n / 2]);
    }
    HWY_UNROLL(16)
    for (int i = 0; i < n; ++i) row[i] = next[i];
  }
  HWY_UNROLL(16)
  for (int i = 0; i < n; ++i) hn::StoreU(row[i], d, reinterpret_cast<T*>(out + i * kLine));
}
#endif

// Past the caches, if it can be: what is written is a model's weights, and reading their old content would take as long.
HWY_INLINE void write_line(const std::byte* line, std::byte* to, bool streaming) {
  if (!streaming) {
    std::memcpy(to, line, kLine);
    return;
  }
  const HWY_CAPPED(std::uint8_t, kLine) d;
  for (std::int64_t i = 0; i < kLine; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    hn::Stream(hn::Load(d, reinterpret_cast<const std::uint8_t*>(line + i)), d, reinterpret_cast<std::uint8_t*>(to + i));
  }
}

template <class T>
void transpose(const void* from, std::int64_t n_row, std::int64_t n_col, std::int64_t in_stride, void* to,
               std::int64_t out_stride) {
  const auto* const in = static_cast<const T*>(from);
  auto* const out = static_cast<T*>(to);
  constexpr std::int64_t kSide = kLine / sizeof(T), kBlock = 16 / sizeof(T);
  const bool streaming = (reinterpret_cast<std::uintptr_t>(to) | (out_stride * sizeof(T))) % kLine == 0;
  alignas(kLine) std::byte tile[kSide * kLine], turned[kSide * kLine];
  for (std::int64_t m0 = 0; m0 < n_col; m0 += kSide) {
    for (std::int64_t i0 = 0; i0 < n_row; i0 += kSide) {
      if (m0 + kSide > n_col || i0 + kSide > n_row) {
        for (std::int64_t m = m0; m < std::min(n_col, m0 + kSide); ++m) {
          for (std::int64_t i = i0; i < std::min(n_row, i0 + kSide); ++i) out[m * out_stride + i] = in[i * in_stride + m];
        }
        continue;
      }
      for (std::int64_t i = 0; i < kSide; ++i) std::memcpy(tile + i * kLine, in + (i0 + i) * in_stride + m0, kLine);
      for (std::int64_t i = 0; i < kSide; i += kBlock) {
        for (std::int64_t m = 0; m < kSide; m += kBlock) {
          transpose_block<T>(tile + i * kLine + m * sizeof(T), turned + m * kLine + i * sizeof(T));
        }
      }
      for (std::int64_t m = 0; m < kSide; ++m) {
        write_line(turned + m * kLine, reinterpret_cast<std::byte*>(out + (m0 + m) * out_stride + i0), streaming);
      }
    }
  }
  hwy::FlushStream();
}

Transpose choose(std::int64_t element_bytes) {
  if (element_bytes == 4) return transpose<std::uint32_t>;
  return element_bytes == 2 ? transpose<std::uint16_t> : transpose<std::uint8_t>;
}

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(choose);
Transpose best_transposer(std::int64_t element_bytes) { return HWY_DYNAMIC_DISPATCH(choose)(element_bytes); }
}  // namespace rwkv::cpu
namespace rwkv {
Transpose transposer(std::int64_t element_bytes) { return cpu::best_transposer(element_bytes); }
}  // namespace rwkv
#endif
