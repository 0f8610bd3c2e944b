// SPDX-License-Identifier: Apache-2.0
// The attention of RWKV-5 and 6; formula: kernels/rwkv5.h.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/rwkv5.h"

namespace rwkv::cuda {

// Of heads of 32, 64 and 128, rows, w and states are aligned to 16 bytes.
void linear_attention(cudaStream_t stream, const Batch& batch, const LinearAttention& op);

}  // namespace rwkv::cuda
