// SPDX-License-Identifier: Apache-2.0
// Products of 9 to 32 rows of x in bfloat16, bandwidth bound: W is a stream, its rows are tiles as they lie or as widened.
// Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_TURNED_BF16_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_TURNED_BF16_INL
#undef RWKV_CPU_TURNED_BF16_INL
#else
#define RWKV_CPU_TURNED_BF16_INL
#endif

#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

constexpr std::int64_t kWidened = 128;  // numbers of each row: two blocks, one being multiplied, fit the first-level cache

// What is multiplied of W at once: rows [first, first + rows), a part of their numbers. While that happens, the next part is
// widened and the rows after these are asked for.
class RowBlocks {
 public:
  RowBlocks(const Product& p, std::int64_t first)
      : p_(p), first_(first), rows_(p.columns()), steps_(p.depth() / 32 * 4 * p.planes()) {
    const Matrix& w = p.op->weight;
    const std::int64_t next = std::min(first + rows_, w.n_out), end = std::min(next + rows_, w.n_out);
    coming_ = {row(next), (end - next) * row_bytes(), steps_};
    if (w.type == DType::i4) scales_ = {scale(next), (end - next) * w.n_in / kI4Group * 2, steps_};
  }

  // Whole rows need no widening.
  [[nodiscard]] bool direct() const {
    const Matrix& w = p_.op->weight;
    return w.type == DType::bf16 && w.n_in % 32 == 0 && first_ + rows_ <= w.n_out;
  }
  [[nodiscard]] const std::uint16_t* direct_rows() const { return static_cast<const std::uint16_t*>(row(first_)); }

  // Numbers [k, k + kWidened) of each row are the next ones, [rows, kWidened].
  void start(std::int64_t k, std::uint16_t* to) {
    k_ = k;
    to_ = to;
    done_ = k < p_.op->weight.n_in ? 0 : rows_;
  }
  void finish_part() { widen(rows_); }

  static void beside(void* blocks) { static_cast<RowBlocks*>(blocks)->step(); }

 private:
  [[nodiscard]] std::int64_t row_bytes() const { return bytes_of(p_.op->weight.type, p_.op->weight.n_in); }
  [[nodiscard]] const void* row(std::int64_t i) const {
    return static_cast<const std::byte*>(p_.op->weight.data) + i * row_bytes();
  }
  [[nodiscard]] const std::uint16_t* scale(std::int64_t i) const {
    return p_.op->weight.scale + i * p_.op->weight.n_in / kI4Group;
  }

  void step() {
    coming_.ask();
    scales_.ask();
    widen((rows_ * p_.depth() / kWidened + steps_ - 1) / steps_);
  }

  void widen(std::int64_t some) {
    for (; some > 0 && done_ < rows_; --some, ++done_) widen_row(first_ + done_, to_ + done_ * kWidened);
  }

  void widen_row(std::int64_t i, std::uint16_t* to) const {
    const Matrix& w = p_.op->weight;
    const std::int64_t n = i < w.n_out ? std::min(kWidened, w.n_in - k_) : 0;
    if (n < kWidened) std::fill_n(to, kWidened, std::uint16_t{0});
    if (n == 0) return;
    if (w.type == DType::bf16) {
      std::copy_n(static_cast<const std::uint16_t*>(row(i)) + k_, n, to);
    } else if (w.type == DType::i8) {
      widen_i8_pairs(static_cast<const std::uint8_t*>(row(i)) + k_, n, to);
    } else {
      widen_i4_pairs(static_cast<const std::uint8_t*>(row(i)) + k_ / 2, scale(i) + k_ / kI4Group, n, to);
    }
  }

  // Of each 32 numbers, [16, 2]: PanelOrder::halves. q has 8 bits, nothing is lost.
  static void widen_i8_pairs(const std::uint8_t* q, std::int64_t n, std::uint16_t* to) {
    const F32 d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t k = 0;
    for (; k + 32 <= n; k += 32) {
      for (std::int64_t i = 0; i < 16; i += lanes)
        store_pairs(LoadI8::load(d, q + k + i), LoadI8::load(d, q + k + 16 + i), to + k + 2 * i);
    }
    for (; k < n; ++k) to[k / 32 * 32 + k % 16 * 2 + k % 32 / 16] = f32_to_bf16(LoadI8::one(q[k]));
  }

  static void widen_i4_pairs(const std::uint8_t* q, const std::uint16_t* scale, std::int64_t n, std::uint16_t* to) {
    const F32 d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (std::int64_t k = 0; k < n; k += kI4Group) {
      V<F32> number[kI4Group / hn::MaxLanes(F32())];
      for_rounded(q + k / 2, scale[k / kI4Group], [&](std::int64_t i, auto x) HWY_ATTR { number[i / lanes] = x; });
      for (std::int64_t i = 0; i < 16; i += lanes) {
        store_pairs(number[i / lanes], number[(16 + i) / lanes], to + k + 2 * i);
      }
    }
  }

  const Product& p_;
  std::int64_t first_, rows_;
  std::int64_t steps_;  // calls of beside() in all
  Coming coming_, scales_;
  std::int64_t k_ = 0, done_ = 0;
  std::uint16_t* to_ = nullptr;
};

// c [columns, rows of x] of columns [first, first + p.columns()).
inline void multiply_turned(const Product& p, std::int64_t first, float* c) {
  alignas(64) std::uint16_t widened[2][kBf16Block * kWidened];
  RowBlocks blocks(p, first);
  const auto* const x = reinterpret_cast<const std::uint16_t*>(p.panels);
  const std::int64_t n = p.op->weight.n_in, panel = p.panel_bytes() / 2;
  Bf16Rows o{.planes = p.planes(), .plane = p.plane_bytes() / 2, .c = c, .beside = RowBlocks::beside, .work = &blocks};
  if (blocks.direct()) {
    blocks.start(n, nullptr);
    o.w = blocks.direct_rows();
    o.ld = o.depth = n;
    o.x[0] = x;
    if (p.n_panels() > 1) o.x[1] = x + panel;
    return p.bf16->multiply_rows(o);
  }
  blocks.start(0, widened[0]);
  blocks.finish_part();
  for (std::int64_t k = 0; k < n; k += kWidened) {
    o.w = widened[k / kWidened % 2];
    o.ld = kWidened;
    o.depth = std::min(kWidened, p.depth() - k);
    o.x[0] = x + k * kPanel;
    if (p.n_panels() > 1) o.x[1] = o.x[0] + panel;
    o.first = k == 0;
    o.last = k + kWidened >= n;
    blocks.start(k + kWidened, widened[(k / kWidened + 1) % 2]);
    p.bf16->multiply_rows(o);
    blocks.finish_part();
  }
}

// Columns [first, first + p.columns()).
inline void turned_bf16(const Product& p, std::int64_t first) {
  const std::int64_t rows = p.rows(), width = p.n_panels() * kPanel, count = std::min(p.columns(), p.op->weight.n_out - first);
  alignas(64) float c[kBf16Block * kPanel], y[2 * kPanel * kBf16Block];
  for (std::int64_t r = 0; r < rows; ++r) prefetch_result(*p.op, r, first, count);
  p.bf16->begin();
  multiply_turned(p, first, c);
  p.bf16->end();
  transpose(c, width, count, rows, y, kBf16Block);
  for (std::int64_t r = 0; r < rows; ++r) finish(*p.op, p.scaled, r, first, count, y + r * kBf16Block);
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
