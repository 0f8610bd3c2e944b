// SPDX-License-Identifier: Apache-2.0
// WKV of RWKV-4 (formula and shapes: kernels/rwkv4.h). A task takes a range of channels of one sequence; its aa, bb, pp stay in
// the first-level cache for all tokens. Traffic: 4 floats per channel and token, 6 per channel and call; bound by arithmetic: 2
// exponentials and a division per channel and token.
#include "kernels/rwkv4.h"

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rwkv4.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

// Channels per task: many tokens are cut finely; one token of one sequence, 1 us, is not worth waking another thread.
HWY_INLINE std::int64_t channels_per_task(const Batch& batch) {
  return std::max<std::int64_t>(128, 4096 * batch.n_seq / std::max<std::int64_t>(1, batch.n_row) / 16 * 16);
}

// A row that comes soon: rows are too far apart for the processor to see a pattern.
constexpr std::int64_t kAhead = 2;
constexpr std::int64_t kLine = 16;  // floats

HWY_INLINE void fetch(const Wkv4& op, std::int64_t at, std::int64_t n) {
  for (std::int64_t i = at; i < at + n; i += kLine) {
    for (const float* x : {op.r.data, op.k.data, op.v.data, op.out.data}) hwy::Prefetch(x + i);
  }
}

template <class D>
struct Weights {
  V<D> of_x, of_y;
};

// e^(x - max(x, y)) and e^(y - max(x, y)): one of them is 1, so one exponential serves both.
template <class D>
HWY_INLINE Weights<D> weights(D d, V<D> x, V<D> y) {
  const auto one = hn::Set(d, 1.0f), less = exp(d, hn::Neg(hn::Abs(hn::Sub(x, y))));
  const auto x_is_less = hn::Lt(x, y);
  return {hn::IfThenElse(x_is_less, less, one), hn::IfThenElse(x_is_less, one, less)};
}

template <class D>
HWY_INLINE void wkv_vector(D d, const Wkv4& op, std::int64_t seq, std::int64_t channel, std::int64_t at) {
  float *const aa_at = op.aa[seq] + channel, *const bb_at = op.bb[seq] + channel, *const pp_at = op.pp[seq] + channel;
  const auto aa = hn::LoadU(d, aa_at), bb = hn::LoadU(d, bb_at), pp = hn::LoadU(d, pp_at);
  const auto r = hn::LoadU(d, op.r.data + at), k = hn::LoadU(d, op.k.data + at), v = hn::LoadU(d, op.v.data + at);

  const auto bonus = hn::Add(hn::LoadU(d, op.u + channel), k);
  const auto [past, now] = weights(d, pp, bonus);
  const auto wkv = hn::Div(hn::MulAdd(past, aa, hn::Mul(now, v)), hn::MulAdd(past, bb, now));
  hn::StoreU(hn::Mul(r, wkv), d, op.out.data + at);

  const auto decayed = hn::Add(pp, hn::LoadU(d, op.w + channel));
  const auto q = hn::Max(decayed, k);
  const auto [keep, gain] = weights(d, decayed, k);
  hn::StoreU(hn::MulAdd(keep, aa, hn::Mul(gain, v)), d, aa_at);
  hn::StoreU(hn::MulAdd(keep, bb, gain), d, bb_at);
  hn::StoreU(q, d, pp_at);
}

void wkv(Device& device, const Batch& batch, const Wkv4& op) {
  const std::int64_t att = op.k.n_col, channels = channels_per_task(batch), parts = (att + channels - 1) / channels;
  pool_of(device).parallel_for(batch.n_seq * parts, [&](std::int64_t task) {
    const std::int64_t seq = task / parts, first = task % parts * channels, n = std::min(channels, att - first);
    const std::int64_t end = batch.offsets[seq + 1];
    for (std::int64_t row = batch.offsets[seq]; row < end; ++row) {
      const std::int64_t at = row * att + first;
      if (row + kAhead < end) fetch(op, at + kAhead * att, n);
      for_vectors(n, [&](auto d, std::int64_t i) HWY_ATTR { wkv_vector(d, op, seq, first + i, at + i); });
    }
  });
}

const Rwkv4Kernels* kernels() {
  static const Rwkv4Kernels table{wkv};
  return &table;
}

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
const Rwkv4Kernels* rwkv4_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
