// SPDX-License-Identifier: Apache-2.0
// Linear attention of RWKV-5 and 6 (formula and shapes: kernels/rwkv5.h). A task takes one head of one sequence; its state
// (16 KiB for N = 64) stays in the first-level cache for all tokens. Traffic: 2 N^2 floats per head and call, 4 N or 5 N per
// token; 3 N^2 operations of the vector units (out, decay, update) per token, 63 % of what two units could do in 256 tokens.
#include "kernels/rwkv5.h"

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rwkv5.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

constexpr int kWide = 4;            // vectors of values side by side: they share each load of a key's numbers
constexpr std::int64_t kAhead = 4;  // tokens
constexpr std::int64_t kLine = 16;  // floats

// One head of one token.
struct Token5 {
  const float *r, *k, *v, *w, *u;  // [N]
  float* out;
  std::int64_t ahead;  // from here to a token that comes soon: rows are too far apart for the processor to see a pattern; or 0
  bool varies;         // w too

  HWY_INLINE void fetch(std::int64_t i) const {
    if (ahead == 0) return;
    for (const float* x : {r, k, v, static_cast<const float*>(out)}) hwy::Prefetch(x + ahead + i);
    if (varies) hwy::Prefetch(w + ahead + i);
  }
};

// For kVectors vectors of values, the first at j. bonus: sum_i r_i u_i k_i, so that the loop has 3 operations per element.
template <int kVectors, class D>
HWY_INLINE void attend_values(D d, const Token5& t, float bonus, std::int64_t n, std::int64_t j, float* s) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V<D> v[kVectors], y[kVectors];
  HWY_UNROLL(4)
  for (int x = 0; x < kVectors; ++x) {
    v[x] = hn::LoadU(d, t.v + j + x * lanes);
    y[x] = hn::Mul(v[x], hn::Set(d, bonus));
  }
  float* s_ij = s + j;
  for (std::int64_t i = 0; i < n; ++i, s_ij += n) {
    if (j == 0 && i % kLine == 0) t.fetch(i);
    const auto r = hn::Set(d, t.r[i]), k = hn::Set(d, t.k[i]), w = hn::Set(d, t.w[i]);
    HWY_UNROLL(4)
    for (int x = 0; x < kVectors; ++x) {
      const auto old = hn::LoadU(d, s_ij + x * lanes);
      y[x] = hn::MulAdd(r, old, y[x]);
      hn::StoreU(hn::MulAdd(w, old, hn::Mul(k, v[x])), d, s_ij + x * lanes);
    }
  }
  HWY_UNROLL(4)
  for (int x = 0; x < kVectors; ++x) hn::StoreU(y[x], d, t.out + j + x * lanes);
}

// sum_i r_i u_i k_i, in double: the terms may cancel, and where the state is still zero the head norm makes what is left large
// again (random-v5.1: logits off by 5.5e-5 in float, 3.9e-5 in double).
HWY_INLINE float sum_of_bonuses(const Token5& t, std::int64_t n) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto load = [=](const float* x) HWY_ATTR { return hn::PromoteTo(d, hn::LoadU(narrow, x)); };
  auto sums = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sums = hn::MulAdd(hn::Mul(load(t.r + i), load(t.k + i)), load(t.u + i), sums);
  double sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < n; ++i) sum += double{t.r[i]} * t.k[i] * t.u[i];
  return static_cast<float>(sum);
}

HWY_INLINE void attend(const Token5& t, std::int64_t n, float* s) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float bonus = sum_of_bonuses(t, n);
  std::int64_t j = 0;
  for (; j + kWide * lanes <= n; j += kWide * lanes) attend_values<kWide>(d, t, bonus, n, j, s);
  for (; j + lanes <= n; j += lanes) attend_values<1>(d, t, bonus, n, j, s);
  for (; j < n; ++j) attend_values<1>(One(), t, bonus, n, j, s);
}

void wkv(Device& device, const Batch& batch, const LinearAttention& op) {
  const std::int64_t att = op.k.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(batch.n_seq * op.n_head, [&](std::int64_t task) {
    const std::int64_t seq = task / op.n_head, c = task % op.n_head * size, end = batch.offsets[seq + 1];
    float* const s = op.s.floats(seq) + c * size;
    for (std::int64_t row = batch.offsets[seq]; row < end; ++row) {
      const std::int64_t at = row * att + c;
      const std::int64_t ahead = row + kAhead < end ? kAhead * att : 0;
      attend({op.r.data + at, op.k.data + at, op.v.data + at, op.w + row * op.w_stride + c, op.u + c, op.out.data + at, ahead,
              op.w_stride != 0},
             size, s);
    }
  });
}

const Rwkv5Kernels* kernels() {
  static const Rwkv5Kernels table{wkv};
  return &table;
}

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
const Rwkv5Kernels* rwkv5_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
