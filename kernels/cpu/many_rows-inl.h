// SPDX-License-Identifier: Apache-2.0
// Products of many rows of x, arithmetic bound: x is transposed into panels, W read in blocks that stay in the cache.
// Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_MANY_ROWS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_MANY_ROWS_INL
#undef RWKV_CPU_MANY_ROWS_INL
#else
#define RWKV_CPU_MANY_ROWS_INL
#endif

#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

inline void pack_panel(const Product& p, std::int64_t panel) {
  const std::int64_t n = p.op->x.n_col, width = p.panel_width(), first = panel * width,
                     rows = std::min(width, p.rows() - first);
  std::byte* const to = p.panels + panel * p.panel_bytes();
  for (int plane = 0; p.bf16 && plane < p.planes(); ++plane) {
    p.bf16->pack_x({p.x() + first * n, rows, n, p.depth(), plane, p.order()},
                   reinterpret_cast<std::uint16_t*>(to + plane * p.plane_bytes()));
  }
  if (p.bf16) return;
  auto* const floats = reinterpret_cast<float*>(to);
  if (rows < width) std::fill_n(floats, width * n, 0.0f);
  transpose(p.x() + first * n, n, rows, n, floats, width);
}

// Rows [row, row + rows) of columns [first, first + count), from c [count, width], transposed.
inline void finish_panel(const Product& p, const float* c, std::int64_t width, std::int64_t row, std::int64_t rows,
                         std::int64_t first, std::int64_t count) {
  constexpr std::int64_t kAtOnce = 16;
  alignas(64) float y[kAtOnce][kBlock];
  for (std::int64_t r = 0; r < rows; r += kAtOnce) {
    const std::int64_t some = std::min(kAtOnce, rows - r);
    transpose(c + r, width, count, some, y[0], kBlock);
    for (std::int64_t i = 0; i < some; ++i) {
      prefetch_result(*p.op, row + r + i + kResultsAhead, first, count);
      finish(*p.op, p.scaled, row + r + i, first, count, y[i]);
    }
  }
}

// a[i, k] = W[first + i, k0 + k] as float32.
template <class Load>
void load_block(const Matrix& w, std::int64_t first, std::int64_t count, std::int64_t k0, std::int64_t depth, float* a,
                std::int64_t stride) {
  const auto* const data = static_cast<const typename Load::Type*>(w.data);
  if (!w.input_major) {
    for (std::int64_t i = 0; i < count; ++i) widen<Load>(data + (first + i) * w.n_in + k0, depth, a + i * stride);
    return;
  }
  alignas(64) float rows[16 * kBlock];
  for (std::int64_t k = 0; k < depth; k += 16) {
    const std::int64_t some = std::min<std::int64_t>(16, depth - k);
    for (std::int64_t i = 0; i < some; ++i) widen<Load>(data + (k0 + k + i) * w.n_out + first, count, rows + i * kBlock);
    transpose(rows, kBlock, some, count, a + k, stride);
  }
}

struct LoadI4 {};  // in groups, see for_codes

// n codes of a row without their scales, in whole groups.
inline void widen_codes(const std::uint8_t* q, std::int64_t n, float* to) {
  prefetch_stream(q, n / 2);
  for (std::int64_t i = 0; i < n; i += kI4Group) {
    for_codes(q + i / 2, [&](std::int64_t j, auto code) HWY_ATTR { hn::StoreU(code, F32(), to + i + j); });
  }
}

template <>
void load_block<LoadI4>(const Matrix& w, std::int64_t first, std::int64_t count, std::int64_t k0, std::int64_t depth, float* a,
                        std::int64_t stride) {
  const auto* const data = static_cast<const std::uint8_t*>(w.data);
  for (std::int64_t i = 0; !w.input_major && i < count; ++i) {
    const std::uint16_t* const scale = w.scale + ((first + i) * w.n_in + k0) / kI4Group;
    float* const to = a + i * stride;
    widen_codes(data + ((first + i) * w.n_in + k0) / 2, depth, to);
    for (std::int64_t k = 0; k < depth; ++k) to[k] *= bf16_to_f32(scale[k / kI4Group]);
  }
  constexpr std::int64_t kWidth = (kBlock + kI4Group - 1) / kI4Group * kI4Group + kI4Group;  // the groups that a block touches
  const std::int64_t group = first / kI4Group * kI4Group, width = std::min(kWidth, w.n_out - group);
  alignas(64) float rows[kI4Group * kWidth];
  for (std::int64_t k = 0; w.input_major && k < depth; k += kI4Group) {
    const std::int64_t some = std::min(kI4Group, depth - k);
    const std::uint16_t* const scale = w.scale + (k0 + k) / kI4Group * w.n_out + group;
    for (std::int64_t i = 0; i < some; ++i) {
      float* const row = rows + i * kWidth;
      widen_codes(data + ((k0 + k + i) * w.n_out + group) / 2, width, row);
      for (std::int64_t m = 0; m < width; ++m) row[m] *= bf16_to_f32(scale[m]);
    }
    transpose(rows + first - group, kWidth, some, count, a + k, stride);
  }
}

// Columns [first, first + kBlock) for many rows, in float32.
template <class Load>
void many_rows(const Product& p, std::int64_t first) {
  constexpr std::int64_t kStride = kDepth + 16;  // not a multiple of 4 KiB, so that the rows do not compete for the same lines
  const std::int64_t n = p.op->weight.n_in, count = std::min(kBlock, p.op->weight.n_out - first), width = p.panel_width();
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(F32()));
  const auto multiply = width > lanes ? rows_times_panel<2, kStride> : rows_times_panel<1, kStride>;
  alignas(64) float a[kBlock * kStride], c[kMostRows * kBlock];  // c: of each panel [kBlock, width]
  for (std::int64_t row = 0; row < p.rows(); row += kMostRows) {
    const std::int64_t rows = std::min(kMostRows, p.rows() - row);
    std::fill_n(c, kMostRows * kBlock, 0.0f);
    for (std::int64_t k = 0; k < n; k += kDepth) {
      const std::int64_t depth = std::min(kDepth, n - k);
      load_block<Load>(p.op->weight, first, count, k, depth, a, kStride);
      for (std::int64_t r = 0; r < rows; r += width) {
        const auto* const b = reinterpret_cast<const float*>(p.panels + (row + r) / width * p.panel_bytes()) + k * width;
        for (std::int64_t i = 0; i < count; i += kRows) {
          const Soon next_panel{b + p.panel_bytes() / 4 + i * depth * width / kBlock, width * kRows / kBlock};
          multiply(a + i * kStride, b, depth, c + r * kBlock + i * width, width, next_panel);
        }
      }
    }
    for (std::int64_t r = 0; r < rows; r += width) {
      finish_panel(p, c + r * kBlock, width, row + r, std::min(width, rows - r), first, count);
    }
  }
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
