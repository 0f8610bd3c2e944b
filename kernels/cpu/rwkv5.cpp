// SPDX-License-Identifier: Apache-2.0
// Linear attention of RWKV-5 and 6 (formula and shapes: kernels/rwkv5.h). A task takes one head of one sequence; its state
// (16 KiB for N = 64) stays in the first-level cache for all tokens. Traffic from memory: 2 N^2 floats per head and call.
#include "kernels/rwkv5.h"

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

struct Token5 {
  const float *r, *k, *v, *w, *u;  // [N] of one head
  float* out;
};

HWY_INLINE void attend(const Token5& t, std::int64_t n, float* s) {
  for_vectors(n, [&](auto d, std::int64_t j) HWY_ATTR {
    const auto v = hn::LoadU(d, t.v + j);
    auto y = hn::Zero(d);
    for (std::int64_t i = 0; i < n; ++i) {
      float* const s_ij = s + i * n + j;
      const auto old = hn::LoadU(d, s_ij);
      const auto kv = hn::Mul(hn::Set(d, t.k[i]), v);
      y = hn::MulAdd(hn::Set(d, t.r[i]), hn::MulAdd(hn::Set(d, t.u[i]), kv, old), y);
      hn::StoreU(hn::MulAdd(hn::Set(d, t.w[i]), old, kv), d, s_ij);
    }
    hn::StoreU(y, d, t.out + j);
  });
}

void wkv(Device& device, const Batch& batch, const LinearAttention& op) {
  const std::int64_t att = op.k.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(batch.n_seq * op.n_head, [&](std::int64_t task) {
    const std::int64_t seq = task / op.n_head, head = task % op.n_head, c = head * size;
    float* const s = op.s[seq] + c * size;
    for (std::int64_t row = batch.offsets[seq]; row < batch.offsets[seq + 1]; ++row) {
      const std::int64_t at = row * att + c;
      attend({op.r.data + at, op.k.data + at, op.v.data + at, op.w + row * op.w_stride + c, op.u + c, op.out.data + at}, size,
             s);
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
