// SPDX-License-Identifier: Apache-2.0
// Token shift. Reads x twice and writes each output once; a task takes a range of channels of one sequence, so that it can
// store the last row without waiting for others.
#include <algorithm>

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kChannels = 512;  // per task

HWY_INLINE void shift_row(const float* x, const float* before, const TokenShift::Output& output, std::int64_t at,
                          std::int64_t first, std::int64_t n) {
  const float *mu = output.mu + first, *mu_row = output.mu_row ? output.mu_row + at : nullptr;
  float* out = output.out + at;
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    const auto now = hn::LoadU(d, x + i);
    auto mix = hn::LoadU(d, mu + i);
    if (mu_row) mix = hn::Add(mix, hn::LoadU(d, mu_row + i));
    hn::StoreU(hn::MulAdd(mix, hn::Sub(hn::LoadU(d, before + i), now), now), d, out + i);
  });
}

void token_shift(Device& device, const Batch& batch, const TokenShift& op) {
  const std::int64_t n_col = op.x.n_col, parts = (n_col + kChannels - 1) / kChannels;
  pool_of(device).parallel_for(batch.n_seq * parts, [&](std::int64_t task) {
    const std::int64_t seq = task / parts, first = task % parts * kChannels, n = std::min(kChannels, n_col - first);
    float* last = op.last_x[seq] + first;
    const float* before = last;
    for (std::int64_t row = batch.offsets[seq]; row < batch.offsets[seq + 1]; ++row) {
      const std::int64_t at = row * n_col + first;
      for (const auto& output : op.outputs) shift_row(op.x.data + at, before, output, at, first, n);
      before = op.x.data + at;
    }
    if (op.remember) std::copy_n(before, n, last);
  });
}

PointwiseKernels kernels() { return {token_shift}; }

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
PointwiseKernels pointwise_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
