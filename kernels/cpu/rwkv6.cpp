// SPDX-License-Identifier: Apache-2.0
// The decay of RWKV-6 (formula and shape: kernels/rwkv6.h); its attention is that of RWKV-5. A task takes some rows, in place:
// 2 floats of traffic per value, 13 GB/s per core on a 2.6 GHz Xeon, bound by the arithmetic of two exponentials.
#include "kernels/rwkv6.h"

#include "kernels/cpu/device.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rwkv6.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

void decay(Device& device, Rows z) {
  for_rows(device, z.n_row, z.n_col, [&](std::int64_t row) {
    float* const at = z.data + row * z.n_col;
    for_vectors(z.n_col, [at](auto d, std::int64_t i)
                             HWY_ATTR { hn::StoreU(exp(d, hn::Neg(exp(d, hn::LoadU(d, at + i)))), d, at + i); });
  });
}

// The attention is given from outside: that of RWKV-5 for the same instruction set.
const Rwkv6Kernels* kernels(decltype(Rwkv6Kernels::wkv) wkv) {
  static const Rwkv6Kernels table{decay, wkv};
  return &table;
}

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
const Rwkv6Kernels* rwkv6_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(rwkv5_kernels()->wkv); }
}  // namespace rwkv::cpu
#endif
