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
// By one of the two below. Of heads of 32, 64 and 128, rows and states are aligned to 16 bytes.
void wkv7(cudaStream_t stream, const Batch& batch, const Wkv7& op);
// Token after token.
void wkv7_serial(cudaStream_t stream, const Batch& batch, const Wkv7& op);
// 16 tokens at a time. Heads of 64, decays as prepare7 makes them, sm_80 or later. A block takes `rows` rows of the state of a
// head, 16 or 32.
void wkv7_chunked(cudaStream_t stream, int rows, const Batch& batch, const Wkv7& op);
void output7(cudaStream_t stream, const Output7& op);

}  // namespace rwkv::cuda
