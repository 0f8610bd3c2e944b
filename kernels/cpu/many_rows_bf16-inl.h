// SPDX-License-Identifier: Apache-2.0
// Products of many rows of x in bfloat16 (bf16_x86.h): W goes through the cache in blocks of pairs, i8 and i4 widened on the
// way. Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_MANY_ROWS_BF16_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_MANY_ROWS_BF16_INL
#undef RWKV_CPU_MANY_ROWS_BF16_INL
#else
#define RWKV_CPU_MANY_ROWS_BF16_INL
#endif

#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

// The upper half of each float32.
HWY_INLINE void store_upper(V<F32> x, std::uint16_t* to) {
  const hn::Rebind<std::uint16_t, F32> d16;
  const auto bits = hn::ShiftRight<16>(hn::BitCast(hn::Repartition<std::uint32_t, F32>(), x));
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(hn::RebindToSigned<F32>(), bits)), d16, to);
}

// q, whose 8 bits are all that a bfloat16 has: nothing to round.
inline void widen_i8(const std::uint8_t* q, std::int64_t n, std::uint16_t* to) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  prefetch_stream(q, n);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store_upper(LoadI8::load(d, q + i), to + i);
  for (; i < n; ++i) to[i] = f32_to_bf16(LoadI8::one(q[i]));
}

// A row of groups, each with a scale.
inline void widen_i4(const std::uint8_t* q, const std::uint16_t* scale, std::int64_t n, std::uint16_t* to) {
  prefetch_stream(q, n / 2);
  for (std::int64_t i = 0; i < n; i += kI4Group) {
    for_rounded(q + i / 2, scale[i / kI4Group], [&](std::int64_t j, auto x) HWY_ATTR { store_upper(x, to + i + j); });
  }
}

// body(i, numbers [i, i + Lanes) of a row of an input-major matrix, rounded): each has a scale of its own.
template <class Body>
HWY_INLINE void for_input_major(const std::uint8_t* q, const std::uint16_t* scale, std::int64_t n, const Body& body) {
  for (std::int64_t i = 0; i < n; i += kI4Group) {
    for_codes(q + i / 2, [&](std::int64_t j, auto code)
                             HWY_ATTR { body(i + j, round_bf16(hn::Mul(code, LoadBf16::load(F32(), scale + i + j)))); });
  }
}

// Rows [first, first + kBf16Block) of W and `most` numbers of each from k, as far as there are; i8 and i4 in `widened`
// [kBf16Block, most].
inline WeightSource bf16_block(const Product& p, std::int64_t first, std::int64_t k, std::int64_t most,
                               std::uint16_t* widened) {
  const Matrix& w = p.op->weight;
  const std::int64_t rows = std::min(kBf16Block, w.n_out - first), depth = std::min(most, w.n_in - k);
  const std::int64_t at = w.input_major ? k * w.n_out + first : first * w.n_in + k, ld = w.input_major ? w.n_out : w.n_in;
  if (w.type == DType::bf16) return {static_cast<const std::uint16_t*>(w.data) + at, ld, rows, depth, w.input_major};
  const auto* const q = static_cast<const std::uint8_t*>(w.data);
  const std::int64_t lines = w.input_major ? depth : rows, n = w.input_major ? rows : depth;
  for (std::int64_t i = 0; i < lines; ++i) {
    std::uint16_t* const to = widened + i * n;
    if (w.type == DType::i8) {
      widen_i8(q + at + i * ld, n, to);
    } else if (w.input_major) {
      prefetch_stream(q + (at + i * ld) / 2, n / 2);
      for_input_major(q + (at + i * ld) / 2, w.scale + (k + i) / kI4Group * w.n_out + first, n,
                      [&](std::int64_t j, auto x) HWY_ATTR { store_upper(x, to + j); });
    } else {
      widen_i4(q + (at + i * ld) / 2, w.scale + (at + i * ld) / kI4Group, n, to);
    }
  }
  return {widened, n, rows, depth, w.input_major};
}

// The block after that at (first, k), to be asked for. i8 and i4 are read as streams instead.
inline Ahead bf16_ahead(const Product& p, std::int64_t first, std::int64_t k) {
  k += p.bf16_depth();
  if (k >= p.op->weight.n_in) {
    k = 0;
    first += kBf16Block;
  }
  if (first >= p.op->weight.n_out || p.op->weight.type != DType::bf16) return {};
  const WeightSource next = bf16_block(p, first, k, p.bf16_depth(), nullptr);
  return {next.w, next.ld, next.input_major ? next.depth : next.rows, next.input_major ? next.rows : next.depth};
}

// c [rows, kBf16Block] (+)= the panels of x from row `row` on times a block of W, from its number k on.
inline void multiply_bf16(const Product& p, std::int64_t row, std::int64_t rows, std::int64_t k, const WeightSource& w,
                          const std::uint32_t* packed, Ahead& ahead, float* c, bool add) {
  constexpr std::int64_t kTwo = 2 * kPanel;
  const std::int64_t depth = (w.depth + 31) / 32 * 32;
  const std::int64_t blocks = (rows + kTwo - 1) / kTwo * p.planes();
  Bf16Block block{.depth = depth, .ldc = kBf16Block, .ahead = &ahead, .lines = (32 + blocks - 1) / blocks};
  for (std::int64_t r = 0; r < rows; r += kTwo) {
    block.one = rows - r <= kPanel;
    for (std::int64_t column = 0; column < w.rows; column += kTwo) {
      block.w[0] = packed + column * depth / 2;
      block.w[1] = block.w[0] + kPanel * depth / 2;
      block.c = c + r * kBf16Block + column;
      for (std::int64_t plane = 0; plane < p.planes(); ++plane) {
        const std::byte* const panel = p.panels + (row + r) / kPanel * p.panel_bytes() + plane * p.plane_bytes();
        block.x[0] = reinterpret_cast<const std::uint16_t*>(panel) + k * kPanel;
        block.x[1] = reinterpret_cast<const std::uint16_t*>(panel + p.panel_bytes()) + k * kPanel;
        block.add = add || plane > 0;
        p.bf16->multiply(block);
      }
    }
  }
}

// Columns [first, first + kBf16Block) for many rows.
inline void many_rows_bf16(const Product& p, std::int64_t first) {
  const Matrix& w = p.op->weight;
  const std::int64_t count = std::min(kBf16Block, w.n_out - first);
  alignas(64) std::uint32_t packed[kBf16Block * kBf16Depth / 2];
  alignas(64) std::uint16_t widened[kBf16Block * kBf16Shallow];
  alignas(64) float c[kMostRows * kBf16Block];
  p.bf16->begin();
  for (std::int64_t row = 0; row < p.rows(); row += kMostRows) {
    const std::int64_t rows = std::min(kMostRows, p.rows() - row);
    for (std::int64_t k = 0; k < w.n_in; k += p.bf16_depth()) {
      const WeightSource block = bf16_block(p, first, k, p.bf16_depth(), widened);
      if (row == 0 || w.n_in > p.bf16_depth()) p.bf16->pack_w(block, packed);
      Ahead ahead = bf16_ahead(p, first, k);
      multiply_bf16(p, row, rows, k, block, packed, ahead, c, k > 0);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      prefetch_result(*p.op, row + r + kResultsAhead, first, count);
      finish(*p.op, p.scaled, row + r, first, count, c + r * kBf16Block);
    }
  }
  p.bf16->end();
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
