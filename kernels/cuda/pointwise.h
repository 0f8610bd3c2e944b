// SPDX-License-Identifier: Apache-2.0
// Token shift (kernels/kernels.h) and the decay of RWKV-6 (kernels/rwkv6.h).
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/kernels.h"

namespace rwkv::cuda {

void token_shift(cudaStream_t stream, const Batch& batch, const TokenShift& op);
void decay(cudaStream_t stream, Rows z);

}  // namespace rwkv::cuda
