// SPDX-License-Identifier: Apache-2.0
// Products of an input-major matrix V and 9 to 32 rows of x in bfloat16, bandwidth bound: a task adds up kPart rows of V, read
// as a stream. Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_PARTS_BF16_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_PARTS_BF16_INL
#undef RWKV_CPU_PARTS_BF16_INL
#else
#define RWKV_CPU_PARTS_BF16_INL
#endif

#include "kernels/cpu/many_rows_bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

constexpr std::int64_t kMostAtOnce = 128;  // packed and widened they fit the first-level cache

// Rows of V at once: about 128 KiB, which the second-level cache holds beside as many that have been asked for.
inline std::int64_t rows_at_once(const Matrix& w) {
  return std::clamp<std::int64_t>((1 << 17) / bytes_of(w.type, w.n_out) / 32 * 32, 32, kMostAtOnce);
}

// sums[part] = x[:, rows of the part] V[rows of the part], in tiles: see Product::sums.
inline void add_part_bf16(const Product& p, std::int64_t part) {
  const Matrix& w = p.op->weight;
  const std::int64_t row_bytes = bytes_of(w.type, w.n_out), end = std::min((part + 1) * kPart, w.n_in);
  const std::int64_t at_once = rows_at_once(w), columns = 4 * kPanel / p.n_panels();
  alignas(64) std::uint32_t packed[kBf16Block * kMostAtOnce / 2];
  alignas(64) std::uint16_t widened[kBf16Block * kMostAtOnce];
  float* const sums = p.sums + part * p.part_sums();
  p.bf16->begin();
  for (std::int64_t k = part * kPart; k < end; k += at_once) {
    const std::int64_t rows = std::min(at_once, end - k), next = std::min(k + rows, w.n_in);
    const std::int64_t depth = (rows + 31) / 32 * 32, products = depth / 32 * p.planes() * p.n_panels() * p.column_blocks() * 4;
    Coming coming(static_cast<const std::byte*>(w.data) + next * row_bytes, std::min(at_once, w.n_in - next) * row_bytes,
                  products);
    Bf16Columns o{.planes = p.planes(), .plane = p.plane_bytes() / 2, .depth = depth, .add = k > part * kPart};
    o.beside = Coming::beside, o.work = &coming;
    for (std::int64_t i = 0; i < p.n_panels(); ++i) {
      o.x[i] = reinterpret_cast<const std::uint16_t*>(p.panels + i * p.panel_bytes()) + k * kPanel;
    }
    for (std::int64_t first = 0; first < w.n_out; first += kBf16Block) {
      p.bf16->pack_w(bf16_block(p, first, k, rows, widened), packed);
      for (std::int64_t column = 0; column < kBf16Block; column += columns) {
        o.w = packed + column * depth / 2;
        o.c = sums + (first + column) * p.n_panels() * kPanel;
        p.bf16->multiply_columns(o);
      }
    }
  }
  p.bf16->end();
}

// Columns [first, first + kBf16Block): the sum of all parts, in their order, and what follows it.
inline void finish_parts_bf16(const Product& p, std::int64_t first) {
  const std::int64_t width = p.n_panels() * kPanel, n = kBf16Block * width;
  alignas(64) float y[kBf16Block * 2 * kPanel];
  std::copy_n(p.sums + first * width, n, y);
  for (std::int64_t part = 1; part < p.parts(); ++part) {
    const float* const from = p.sums + part * p.part_sums() + first * width;
    for_vectors(n, [&](auto d, std::int64_t i)
                       HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, y + i), hn::LoadU(d, from + i)), d, y + i); });
  }
  for (std::int64_t r = 0; r < p.rows(); ++r) {
    for (std::int64_t i = 0; i < std::min(kBf16Block, p.op->weight.n_out - first); i += kPanel) {
      finish(*p.op, p.scaled, r, first + i, std::min(kPanel, p.op->weight.n_out - first - i), y + i * width + r * kPanel);
    }
  }
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
