// SPDX-License-Identifier: Apache-2.0
// Normalisation of a row: LayerNorm of the stream, with and without token shift, and of the embedding, and the head norm after
// WKV (formulas and shapes: kernels/kernels.h). A task takes some rows; a row is read from memory once and twice more from the
// first-level cache. Bound by traffic, 2 floats per value, 3 with a gate: 27 GB/s per core for 256 rows of 1,024, on a 2.6 GHz
// Xeon. With token shift a row is normalised twice, for itself and for the next one: nothing lies between the two steps.
#include <hwy/base.h>

#include <algorithm>

#include "kernels/cpu/device.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/table.h"
#include "kernels/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

// (x - mean) scale weight + bias
template <class D>
HWY_INLINE V<D> normed(D d, const float* x, const Moments& m, V<D> weight, V<D> bias) {
  const auto unit = hn::Mul(hn::Sub(hn::LoadU(d, x), hn::Set(d, m.mean)), hn::Set(d, m.scale));
  return hn::MulAdd(unit, weight, bias);
}

// out = LN(x), times gate unless it is null
HWY_INLINE void normalise(const float* x, std::int64_t n, float eps, const float* weight, const float* bias, const float* gate,
                          float* out) {
  const Moments m = moments(x, n, eps);
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    auto y = normed(d, x + i, m, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i));
    if (gate) y = hn::Mul(y, hn::LoadU(d, gate + i));
    hn::StoreU(y, d, out + i);
  });
}

void layer_norm(Device& device, const LayerNorm& op) {
  const std::int64_t n = op.x.n_col;
  for_rows(device, op.out.n_row, n, [&](std::int64_t row) {
    const float* const x = op.x.data + (op.rows ? op.rows[row] : row) * n;
    normalise(x, n, op.eps, op.weight, op.bias, nullptr, op.out.data + row * n);
  });
}

// What a row is mixed with: last_x, or the row before, to be normalised.
struct Before {
  const float* x;
  Moments moments;
};

// remember: a last_x that this row replaces, or null.
template <bool kFirst>
HWY_INLINE void norm_shift_row(const NormShift& op, std::int64_t row, const Moments& m, const Before& before, float* remember) {
  const std::int64_t n = op.x.n_col, at = row * n;
  const float* const x = op.x.data + at;
  for_vectors(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto weight = hn::LoadU(d, op.weight + i), bias = hn::LoadU(d, op.bias + i);
    const auto h = normed(d, x + i, m, weight, bias);
    V<decltype(d)> other;
    if constexpr (kFirst) {
      other = hn::LoadU(d, before.x + i);
    } else {
      other = normed(d, before.x + i, before.moments, weight, bias);
    }
    const auto difference = hn::Sub(other, h);
    for (const NormShift::Output& o : op.outputs) {
      hn::StoreU(o.mu ? hn::MulAdd(hn::LoadU(d, o.mu + i), difference, h) : h, d, o.out + at + i);
    }
    if (op.difference) hn::StoreU(difference, d, op.difference + at + i);
    if (remember) hn::StoreU(h, d, remember + i);
  });
}

void norm_shift(Device& device, const Batch& batch, const NormShift& op) {
  const std::int64_t n = op.x.n_col;
  const std::int32_t *const begin = batch.offsets, *const end = begin + batch.n_seq;
  // Some rows of a sequence in a task: the one in front of them is normalised again.
  const std::int64_t task_rows = std::clamp<std::int64_t>(op.x.n_row / 32, 1, 8);
  pool_of(device).parallel_for((op.x.n_row + task_rows - 1) / task_rows, [&](std::int64_t task) {
    const std::int64_t last = std::min(op.x.n_row, (task + 1) * task_rows);
    std::int64_t seq = std::upper_bound(begin, end, task * task_rows) - begin - 1;
    Before before{};  // the row that the task has done before, if any
    for (std::int64_t row = task * task_rows; row < last; ++row) {
      while (row >= begin[seq + 1]) ++seq;
      const float* const x = op.x.data + row * n;
      const Moments m = moments(x, n, op.eps);
      if (row == begin[seq]) {
        float* const remember = row + 1 == begin[seq + 1] ? op.last_x[seq] : nullptr;
        norm_shift_row<true>(op, row, m, {op.last_x[seq], {}}, remember);
      } else {
        if (!before.x) before = {x - n, moments(x - n, n, op.eps)};
        norm_shift_row<false>(op, row, m, before, nullptr);
      }
      before = {x, m};
    }
  });
  // Of longer sequences only now, when all have read what was there.
  for (std::int64_t seq = 0; seq < batch.n_seq; ++seq) {
    if (begin[seq] + 1 >= begin[seq + 1]) continue;
    normalise(op.x.data + (begin[seq + 1] - 1) * n, n, op.eps, op.weight, op.bias, nullptr, op.last_x[seq]);
  }
}

void head_norm(Device& device, const HeadNorm& op) {
  const std::int64_t att = op.x.n_col, size = att / op.n_head;
  for_rows(device, op.x.n_row, att, [&](std::int64_t row) {
    for (std::int64_t c = 0; c < att; c += size) {
      const std::int64_t at = row * att + c;
      normalise(op.x.data + at, size, op.eps, op.weight + c, op.bias + c, op.gate ? op.gate + at : nullptr, op.out.data + at);
    }
  });
}

// out[i] = the stored number i; widen is for one, load for a vector.
template <class Load>
HWY_INLINE void widen_row(const std::uint16_t* stored, std::int64_t n, float (*widen)(std::uint16_t), const Load& load,
                          float* out) {
  const F32 d;
  const hn::Rebind<std::uint16_t, F32> d16;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(load(hn::LoadU(d16, stored + i)), d, out + i);
  for (; i < n; ++i) out[i] = widen(stored[i]);
}

void embed(Device& device, const Embed& op) {
  const std::int64_t n = op.table.n_in;
  for_rows(device, op.out.n_row, n, [&](std::int64_t row) {
    const F32 d;
    float* const out = op.out.data + row * n;
    const std::int64_t first = std::int64_t{op.tokens[row]} * n;
    const auto* const stored = static_cast<const std::uint16_t*>(op.table.data) + first;
    if (op.table.type == DType::f32) {
      return normalise(static_cast<const float*>(op.table.data) + first, n, op.eps, op.weight, op.bias, nullptr, out);
    }
    if (op.table.type == DType::f16) {
      const hn::Rebind<hwy::float16_t, F32> d16;
      widen_row(
          stored, n, f16_to_f32, [=](auto x) HWY_ATTR { return hn::PromoteTo(d, hn::BitCast(d16, x)); }, out);
    } else {
      const hn::Repartition<std::uint32_t, F32> d32;
      widen_row(
          stored, n, bf16_to_f32, [=](auto x) HWY_ATTR { return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, x))); },
          out);
    }
    normalise(out, n, op.eps, op.weight, op.bias, nullptr, out);
  });
}

NormKernels kernels() { return {layer_norm, norm_shift, head_norm, embed}; }

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
NormKernels norm_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
