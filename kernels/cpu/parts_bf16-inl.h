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

constexpr std::int64_t kMostAtOnce = 128;  // two strips of them as pairs fit the first-level cache

// Rows of V at once: about 128 KiB, which the second-level cache holds beside as many that have been asked for.
inline std::int64_t rows_at_once(const Matrix& w) {
  return std::clamp<std::int64_t>((1 << 17) / bytes_of(w.type, w.n_out) / 32 * 32, 32, kMostAtOnce);
}

// Rows [k, k + rows) of V, a strip of kBf16Block columns after the other. While one is multiplied, the next one becomes pairs
// and the rows after these are asked for.
class Strips {
 public:
  Strips(const Product& p, std::int64_t k, std::int64_t rows)
      : p_(p), k_(k), rows_(rows), period_(4 * p.planes() * p.n_panels()) {
    const Matrix& w = p.op->weight;
    const std::int64_t next = std::min(k + rows, w.n_in), end = std::min(next + rows_at_once(w), w.n_in);
    const std::int64_t row_bytes = bytes_of(w.type, w.n_out);
    coming_ = {static_cast<const std::byte*>(w.data) + next * row_bytes, (end - next) * row_bytes,
               (rows + 31) / 32 * period_ * p.column_blocks()};
  }

  // The strip from column `first` on is the next one.
  void start(std::int64_t first, std::uint32_t* to) {
    first_ = first;
    to_ = to;
    done_ = first < p_.op->weight.n_out ? 0 : rows_;
  }
  void finish_strip() {
    while (done_ < rows_) pack();
  }

  static void beside(void* strips) { static_cast<Strips*>(strips)->step(); }

 private:
  void step() {
    coming_.ask();
    if (++steps_ % period_ == 0 && done_ < rows_) pack();
  }

  void pack() {
    std::uint32_t* const to = to_ + done_ * kBf16Block / 2;
    const Matrix& w = p_.op->weight;
    if (w.type != DType::bf16 && rows_ - done_ >= 32 && first_ + kBf16Block <= w.n_out) {
      for (std::int64_t i = 0; i < 32; i += 2) widen_two(k_ + done_ + i, to + i / 2 * kPanel);
    } else {
      alignas(64) std::uint16_t widened[kBf16Block * 32];
      p_.bf16->pack_w(bf16_block(p_, first_, k_ + done_, std::min<std::int64_t>(32, rows_ - done_), widened), to);
    }
    done_ += 32;
  }

  // Rows k and k + 1 of the strip as pairs.
  void widen_two(std::int64_t k, std::uint32_t* to) const {
    const F32 d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const Matrix& w = p_.op->weight;
    const auto* const q = static_cast<const std::uint8_t*>(w.data) + bytes_of(w.type, k * w.n_out + first_);
    const auto store = [&](std::int64_t i, auto a, auto b)
                           HWY_ATTR { store_pairs(a, b, to + i / kPanel * kPanel * kPanel + i % kPanel); };
    if (w.type == DType::i8) {
      for (std::int64_t i = 0; i < kBf16Block; i += lanes) store(i, LoadI8::load(d, q + i), LoadI8::load(d, q + w.n_out + i));
      return;
    }
    const std::uint16_t* const scale = w.scale + k / kI4Group * w.n_out + first_;
    V<F32> one[kBf16Block / hn::MaxLanes(F32())];
    for_input_major(q, scale, kBf16Block, [&](std::int64_t i, auto x) HWY_ATTR { one[i / lanes] = x; });
    for_input_major(q + w.n_out / 2, scale, kBf16Block, [&](std::int64_t i, auto x) HWY_ATTR { store(i, one[i / lanes], x); });
  }

  const Product& p_;
  std::int64_t k_, rows_, period_;  // period: calls of beside() for each 32 rows
  Coming coming_;
  std::int64_t first_ = 0, done_ = 0, steps_ = 0;
  std::uint32_t* to_ = nullptr;
};

// sums[part] = x[:, rows of the part] V[rows of the part], in tiles: see Product::sums.
inline void add_part_bf16(const Product& p, std::int64_t part) {
  const Matrix& w = p.op->weight;
  const std::int64_t end = std::min((part + 1) * kPart, w.n_in), at_once = rows_at_once(w), columns = 4 * kPanel / p.n_panels();
  alignas(64) std::uint32_t packed[2][kBf16Block * kMostAtOnce / 2];
  float* const sums = p.sums + part * p.part_sums();
  p.bf16->begin();
  for (std::int64_t k = part * kPart; k < end; k += at_once) {
    const std::int64_t rows = std::min(at_once, end - k);
    Strips strips(p, k, rows);
    Bf16Columns o{.planes = p.planes(), .plane = p.plane_bytes() / 2, .depth = (rows + 31) / 32 * 32, .add = k > part * kPart};
    o.beside = Strips::beside, o.work = &strips;
    for (std::int64_t i = 0; i < p.n_panels(); ++i) {
      o.x[i] = reinterpret_cast<const std::uint16_t*>(p.panels + i * p.panel_bytes()) + k * kPanel;
    }
    std::uint32_t *now = packed[0], *next = packed[1];
    strips.start(0, now);
    strips.finish_strip();
    for (std::int64_t first = 0; first < w.n_out; first += kBf16Block, std::swap(now, next)) {
      strips.start(first + kBf16Block, next);
      for (std::int64_t column = 0; column < kBf16Block; column += columns) {
        o.w = now + column * kPanel;
        o.c = sums + (first + column) * p.n_panels() * kPanel;
        p.bf16->multiply_columns(o);
      }
      strips.finish_strip();
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
