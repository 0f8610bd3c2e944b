// SPDX-License-Identifier: Apache-2.0
// LayerNorm with token shift; what it does: kernels/kernels.h.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/kernels.h"

namespace rwkv::cuda {

void norm_shift(cudaStream_t stream, const Batch& batch, const NormShift& op);

}  // namespace rwkv::cuda
