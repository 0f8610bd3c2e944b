// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/table.h"

namespace rwkv::cpu {

// Activations of so many are some MiB.
constexpr std::int64_t kRoundRows = 256;

KernelTable make_table() {
  const NormKernels norm = norm_kernels();
  const MatMulKernels matmul = matmul_kernels();
  return {.name = matmul.target,
          .rounds_x = matmul.rounds_x,
          .round_rows = kRoundRows,
          .half_states = false,
          .common = {norm.embed, norm.layer_norm, norm.norm_shift, matmul.matmul, norm.head_norm, nullptr},
          .rwkv4 = rwkv4_kernels(),
          .rwkv5 = rwkv5_kernels(),
          .rwkv6 = rwkv6_kernels(),
          .rwkv7 = rwkv7_kernels()};
}

const KernelTable& best_table() {
  static const KernelTable best = make_table();
  return best;
}

}  // namespace rwkv::cpu
