// SPDX-License-Identifier: Apache-2.0
// The decay of RWKV-6; what it does: kernels/rwkv6.h.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/rwkv6.h"

namespace rwkv::cuda {

void decay(cudaStream_t stream, Rows z);

}  // namespace rwkv::cuda
