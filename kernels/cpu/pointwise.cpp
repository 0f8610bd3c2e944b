// SPDX-License-Identifier: Apache-2.0
// Token shift (formula and shapes: kernels/kernels.h). A task takes some rows, each for all outputs while x and the row before
// lie in the first-level cache: x is read once, each output written once. Bound by traffic: 21 GB/s per core for 6 outputs of
// 256 rows (a line is read before it is written), 35 GB/s in cache, on a 2.6 GHz Xeon.
#include <algorithm>

#include "kernels/cpu/device.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

HWY_INLINE void shift_row(const float* x, const float* before, const TokenShift::Output& output, std::int64_t at,
                          std::int64_t n) {
  const float *mu = output.mu, *mu_row = output.mu_row ? output.mu_row + at : nullptr;
  float* out = output.out + at;
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    const auto now = hn::LoadU(d, x + i);
    auto mix = hn::LoadU(d, mu + i);
    if (mu_row) mix = hn::Add(mix, hn::LoadU(d, mu_row + i));
    hn::StoreU(hn::MulAdd(mix, hn::Sub(hn::LoadU(d, before + i), now), now), d, out + i);
  });
}

void token_shift(Device& device, const Batch& batch, const TokenShift& op) {
  const std::int64_t n = op.x.n_col;
  const std::int32_t *const begin = batch.offsets, *const end = begin + batch.n_seq;
  for_rows(device, op.x.n_row, n * static_cast<std::int64_t>(op.outputs.size()), [&](std::int64_t row) {
    const float* const x = op.x.data + row * n;
    const std::int64_t seq = std::upper_bound(begin, end, row) - begin - 1;
    const float* const before = row == begin[seq] ? op.last_x[seq] : x - n;
    for (const auto& output : op.outputs) shift_row(x, before, output, row * n, n);
  });
  if (!op.remember) return;  // and only now, when all have read what was there
  for (std::int64_t seq = 0; seq < batch.n_seq; ++seq) {
    if (begin[seq] < begin[seq + 1]) std::copy_n(op.x.data + (begin[seq + 1] - 1) * n, n, op.last_x[seq]);
  }
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
