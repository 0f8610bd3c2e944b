// SPDX-License-Identifier: Apache-2.0
// Normalisation of a row: LayerNorm of the stream and of the embedding, and the head norm after WKV.
#include <hwy/base.h>

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"
#include "kernels/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

// out = (x - mean) scale weight + bias, times gate unless it is null
HWY_INLINE void normalise(const float* x, std::int64_t n, float eps, const float* weight, const float* bias, const float* gate,
                          float* out) {
  const Moments m = moments(x, n, eps);
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    const auto unit = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, m.mean)), hn::Set(d, m.scale));
    auto y = hn::MulAdd(unit, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i));
    if (gate) y = hn::Mul(y, hn::LoadU(d, gate + i));
    hn::StoreU(y, d, out + i);
  });
}

void layer_norm(Device& device, const LayerNorm& op) {
  const std::int64_t n = op.x.n_col;
  pool_of(device).parallel_for(op.x.n_row, [&](std::int64_t row) {
    normalise(op.x.data + row * n, n, op.eps, op.weight, op.bias, nullptr, op.out.data + row * n);
  });
}

void head_norm(Device& device, const HeadNorm& op) {
  const std::int64_t att = op.x.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(op.x.n_row, [&](std::int64_t row) {
    for (std::int64_t c = 0; c < att; c += size) {
      const std::int64_t at = row * att + c;
      normalise(op.x.data + at, size, op.eps, op.weight + c, op.bias + c, op.gate ? op.gate + at : nullptr, op.out.data + at);
    }
  });
}

void embed(Device& device, const Embed& op) {
  const std::int64_t n = op.table.n_in;
  pool_of(device).parallel_for(op.out.n_row, [&](std::int64_t row) {
    float* out = op.out.data + row * n;
    const std::int64_t first = std::int64_t{op.tokens[row]} * n;
    if (op.table.type == DType::f32) {
      const float* stored = static_cast<const float*>(op.table.data) + first;
      for (std::int64_t i = 0; i < n; ++i) out[i] = stored[i];
    } else {
      const std::uint16_t* stored = static_cast<const std::uint16_t*>(op.table.data) + first;
      const auto widen = op.table.type == DType::f16 ? f16_to_f32 : bf16_to_f32;
      for (std::int64_t i = 0; i < n; ++i) out[i] = widen(stored[i]);
    }
    normalise(out, n, op.eps, op.weight, op.bias, nullptr, out);
  });
}

NormKernels kernels() { return {layer_norm, head_norm, embed}; }

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
NormKernels norm_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
