// SPDX-License-Identifier: Apache-2.0
// WKV of RWKV-4; formula: kernels/rwkv4.h.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/rwkv4.h"

namespace rwkv::cuda {

void wkv4(cudaStream_t stream, const Batch& batch, const Wkv4& op);

}  // namespace rwkv::cuda
