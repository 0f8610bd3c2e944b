// SPDX-License-Identifier: Apache-2.0
// The steps of RWKV-7 between its matrices (formulas and shapes: kernels/rwkv7.h). WKV: a task takes one head of one sequence;
// its state (16 KiB for N = 64) stays in the first-level cache for all tokens. Traffic from memory: 2 N^2 floats per head and
// call.
#include "kernels/rwkv7.h"

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rwkv7.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

HWY_INLINE float dot(const float* x, const float* y, std::int64_t n) {
  return sum_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, y + i)); });
}

// kk = k k_k scaled to length 1
HWY_INLINE void removal_key(const float* k, const float* k_k, float* kk, std::int64_t n) {
  for_vectors(
      n, [=](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, k + i), hn::LoadU(d, k_k + i)), d, kk + i); });
  const float norm = std::sqrt(dot(kk, kk, n));
  const float scale = 1.0f / (norm < 1e-12f ? 1e-12f : norm);
  for_vectors(
      n, [=](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, kk + i), hn::Set(d, scale)), d, kk + i); });
}

void prepare(Device& device, const Prepare7& op) {
  const std::int64_t att = op.k.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(op.k.n_row, [&](std::int64_t row) {
    const std::int64_t at = row * att;
    float *const w = op.w.data + at, *const k = op.k.data + at, *const v = op.v.data + at;
    float *const a = op.a.data + at, *const kk = op.kk.data + at;
    const float *const v_first = op.v_first ? op.v_first + at : nullptr, *const v_mix = op.v_mix + (op.v_mix ? at : 0);
    for (std::int64_t c = 0; c < att; c += size) removal_key(k + c, op.k_k + c, kk + c, size);
    for_vectors(att, [&](auto d, std::int64_t i) HWY_ATTR {
      const auto one = hn::Set(d, 1.0f), rate = hn::LoadU(d, a + i);
      hn::StoreU(exp(d, hn::Mul(hn::Set(d, -0.606531f), hn::LoadU(d, w + i))), d, w + i);
      const auto gain = hn::MulAdd(hn::Sub(rate, one), hn::LoadU(d, op.k_a + i), one);
      hn::StoreU(hn::Mul(hn::LoadU(d, k + i), gain), d, k + i);
      hn::StoreU(hn::Mul(hn::LoadU(d, kk + i), rate), d, a + i);
      if (v_first) {
        const auto own = hn::LoadU(d, v + i);
        hn::StoreU(hn::MulAdd(hn::Sub(hn::LoadU(d, v_first + i), own), hn::LoadU(d, v_mix + i), own), d, v + i);
      }
    });
  });
}

struct Token7 {
  const float *r, *w, *k, *v, *kk, *b;  // [N] of one head
  float* out;
};

HWY_INLINE void step(const Token7& t, std::int64_t n, float* s) {
  for (std::int64_t i = 0; i < n; ++i) {
    float* const row = s + i * n;
    const float removed = dot(row, t.kk, n), v = t.v[i];
    t.out[i] = sum_vectors(n, [=, &t](auto d, std::int64_t j) HWY_ATTR {
      const auto kept =
          hn::NegMulAdd(hn::Set(d, removed), hn::LoadU(d, t.b + j), hn::Mul(hn::LoadU(d, row + j), hn::LoadU(d, t.w + j)));
      const auto now = hn::MulAdd(hn::Set(d, v), hn::LoadU(d, t.k + j), kept);
      hn::StoreU(now, d, row + j);
      return hn::Mul(now, hn::LoadU(d, t.r + j));
    });
  }
}

void wkv(Device& device, const Batch& batch, const Wkv7& op) {
  const std::int64_t att = op.k.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(batch.n_seq * op.n_head, [&](std::int64_t task) {
    const std::int64_t seq = task / op.n_head, head = task % op.n_head, c = head * size;
    float* const s = op.s[seq] + c * size;
    for (std::int64_t row = batch.offsets[seq]; row < batch.offsets[seq + 1]; ++row) {
      const std::int64_t at = row * att + c;
      step({op.r.data + at, op.w.data + at, op.k.data + at, op.v.data + at, op.kk.data + at, op.b.data + at, op.out.data + at},
           size, s);
    }
  });
}

HWY_INLINE void output_head(const Output7& op, std::int64_t at, std::int64_t c, std::int64_t n) {
  const float *const y = op.y.data + at, *const r = op.r.data + at, *const k = op.k.data + at, *const v = op.v.data + at;
  const float *const g = op.g.data + at, *const r_k = op.r_k + c, *const weight = op.weight + c, *const bias = op.bias + c;
  float* const out = op.out.data + at;
  const Moments m = moments(y, n, op.eps);
  const float bonus = sum_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    return hn::Mul(hn::Mul(hn::LoadU(d, r + i), hn::LoadU(d, k + i)), hn::LoadU(d, r_k + i));
  });
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    const auto unit = hn::Mul(hn::Sub(hn::LoadU(d, y + i), hn::Set(d, m.mean)), hn::Set(d, m.scale));
    const auto normed = hn::MulAdd(unit, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i));
    const auto sum = hn::MulAdd(hn::Set(d, bonus), hn::LoadU(d, v + i), normed);
    hn::StoreU(hn::Mul(sum, hn::LoadU(d, g + i)), d, out + i);
  });
}

void output(Device& device, const Output7& op) {
  const std::int64_t att = op.y.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(op.y.n_row, [&](std::int64_t row) {
    for (std::int64_t c = 0; c < att; c += size) output_head(op, row * att + c, c, size);
  });
}

const Rwkv7Kernels* kernels() {
  static const Rwkv7Kernels table{prepare, wkv, output};
  return &table;
}

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
const Rwkv7Kernels* rwkv7_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
