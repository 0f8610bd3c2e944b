// SPDX-License-Identifier: Apache-2.0
// The steps of RWKV-7 between its matrices; what each does: kernels/rwkv7.h.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/rwkv7.h"

namespace rwkv::cuda {

// Of heads of 32, 64 and 128, rows and states are aligned to 16 bytes.
void delta_rule(cudaStream_t stream, const Batch& batch, const DeltaRule& op);

// Its steps, for many tokens.
void prepare7(cudaStream_t stream, const Prepare7& op);
void wkv7(cudaStream_t stream, const Batch& batch, const Wkv7& op);
void output7(cudaStream_t stream, const Output7& op);

}  // namespace rwkv::cuda
