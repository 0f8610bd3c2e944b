// SPDX-License-Identifier: Apache-2.0
#include "bench/zero_share.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/cpu/device.h"
#include "kernels/kernels.h"

namespace rwkv::bench {
namespace {

// One at a time, as kernels are plain functions.
struct Count {
  decltype(CommonKernels::matmul) matmul;
  std::int64_t zeros = 0, all = 0;
} count;

void counting_matmul(Device& device, std::span<const MatMul> group) {
  for (const MatMul& op : group) {
    if (!op.weight.input_major) continue;
    const std::span<const float> x(op.x.data, static_cast<std::size_t>(op.x.n_row * op.x.n_col));
    count.zeros += std::ranges::count(x, 0.0f);
    count.all += std::ssize(x);
  }
  count.matmul(device, group);
}

}  // namespace

std::optional<double> zero_share(Device& device, const std::function<void()>& steps) {
  auto* const cpu = dynamic_cast<cpu::CpuDevice*>(&device);
  if (!cpu) return {};
  const KernelTable& table = cpu->kernels();
  KernelTable counting = table;
  counting.common.matmul = counting_matmul;
  count = {.matmul = table.common.matmul};
  cpu->use_kernels(counting);
  try {
    steps();
  } catch (...) {
    cpu->use_kernels(table);
    throw;
  }
  cpu->use_kernels(table);
  if (count.all == 0) return {};
  return static_cast<double>(count.zeros) / static_cast<double>(count.all);
}

}  // namespace rwkv::bench
