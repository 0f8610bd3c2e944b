// SPDX-License-Identifier: Apache-2.0
// Which kernels serve: each file is compiled once per instruction set, and the best one this machine has is chosen here.
#pragma once
#include "kernels/kernels.h"

namespace rwkv::cpu {

// The best one of this machine, chosen once.
[[nodiscard]] const KernelTable& best_table();

// Chosen anew; for tests that restrict the instruction sets with hwy::SetSupportedTargetsForTest.
[[nodiscard]] KernelTable make_table();

// Each kernel file's share of the table.
struct NormKernels {
  decltype(CommonKernels::layer_norm) layer_norm;
  decltype(CommonKernels::norm_shift) norm_shift;
  decltype(CommonKernels::head_norm) head_norm;
  decltype(CommonKernels::embed) embed;
};
struct MatMulKernels {
  decltype(CommonKernels::matmul) matmul;
  const char* target;
  bool rounds_x;
};
[[nodiscard]] NormKernels norm_kernels();
[[nodiscard]] MatMulKernels matmul_kernels();
[[nodiscard]] const Rwkv4Kernels* rwkv4_kernels();
[[nodiscard]] const Rwkv5Kernels* rwkv5_kernels();
[[nodiscard]] const Rwkv6Kernels* rwkv6_kernels();
[[nodiscard]] const Rwkv7Kernels* rwkv7_kernels();

}  // namespace rwkv::cpu
