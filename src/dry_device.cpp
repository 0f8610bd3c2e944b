// SPDX-License-Identifier: Apache-2.0
#include "dry_device.h"

#include <algorithm>

namespace rwkv {
namespace {

template <class... Operands>
using Kernel = void (*)(Operands...);

// Any of them.
struct Nothing {
  template <class... Operands>
  constexpr operator Kernel<Operands...>() const {  // NOLINT(google-explicit-constructor)
    return [](Operands...) {};
  }
};

}  // namespace

// A product's scratch may shrink when its rows grow.
std::size_t DryDevice::most_scratch(MatMul op) {
  const auto scratch_of = real_.kernels().common.scratch_bytes;
  if (!scratch_of) return 0;
  const Matrix& w = op.weight;
  const auto [found, is_new] = scratch_of_.try_emplace({w.type, w.input_major, w.n_out, w.n_in, op.x.n_row});
  if (is_new) {
    for (; op.x.n_row > 0; --op.x.n_row, --op.out.n_row) found->second = std::max(found->second, scratch_of(real_, op));
  }
  return found->second;
}

void DryDevice::matmul(Device& device, std::span<const MatMul> group) {
  auto& dry = static_cast<DryDevice&>(device);
  std::size_t bytes = 0;
  for (const MatMul& op : group) bytes += dry.most_scratch(op);
  dry.scratch_bytes_ = std::max(dry.scratch_bytes_, bytes);
}

KernelTable DryDevice::table(const KernelTable& real) {
  static constexpr Nothing kNothing;
  static constexpr Rwkv4Kernels kRwkv4{kNothing};
  static constexpr Rwkv5Kernels kRwkv5{kNothing};
  static constexpr Rwkv6Kernels kRwkv6{kNothing, kNothing};
  static constexpr Rwkv7Kernels kRwkv7{kNothing};
  return {.name = "dry",
          .rounds_x = false,
          .round_rows = 0,
          .half_states = real.half_states,
          .common = {kNothing, kNothing, kNothing, matmul, kNothing, nullptr, nullptr},
          .rwkv4 = &kRwkv4,
          .rwkv5 = &kRwkv5,
          .rwkv6 = &kRwkv6,
          .rwkv7 = &kRwkv7};
}

}  // namespace rwkv
