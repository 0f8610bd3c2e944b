// SPDX-License-Identifier: Apache-2.0
// Products of weight matrices and rows: what each does is in kernels/kernels.h. Many rows of x are rounded as rounds_x says; of
// more than 32, those multiplied with f16 are rounded to 11 bits, and so are more than 64 with i8 and i4, and these matrices.
#pragma once
#include <cuda_runtime_api.h>

#include <span>

#include "kernels/cuda/cublas.h"
#include "kernels/cuda/scratch.h"
#include "kernels/kernels.h"

namespace rwkv::cuda {

// The products of a group do not depend on each other. Those that have as many rows are one launch, of more than 2 rows those
// of a type. cublas multiplies large ones; null: our own kernels all.
void matmul(cudaStream_t stream, Scratch& scratch, std::span<const MatMul> group, Cublas* cublas = nullptr);

// That it takes for a product of a group.
std::size_t scratch_bytes(const MatMul& op);

}  // namespace rwkv::cuda
