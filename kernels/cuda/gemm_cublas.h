// SPDX-License-Identifier: Apache-2.0
// Products that cuBLASLt multiplies.
#pragma once
#include <memory>
#include <vector>

#include "kernels/cuda/cublas.h"
#include "kernels/kernels.h"

namespace rwkv::cuda {

struct PlannedMatMul {
  const MatMul* op;
  std::shared_ptr<const CublasPlan> plan;
};

// Null for those that our own kernels multiply.
[[nodiscard]] std::shared_ptr<const CublasPlan> plan_cublas(cudaStream_t stream, Cublas& cublas, const MatMul& op);

[[nodiscard]] std::size_t gemm_cublas_bytes(const std::vector<PlannedMatMul>& group);
// scratch: so many bytes, aligned to 256. A product that the library refuses has no plan afterwards, and nothing of it is done.
void gemm_cublas(cudaStream_t stream, Cublas& cublas, std::vector<PlannedMatMul>& group, std::byte* scratch);

}  // namespace rwkv::cuda
