// SPDX-License-Identifier: Apache-2.0
// Normalisation of rows; what each does: kernels/kernels.h.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/kernels.h"

namespace rwkv::cuda {

void embed(cudaStream_t stream, const Embed& op);
void layer_norm(cudaStream_t stream, const LayerNorm& op);
void head_norm(cudaStream_t stream, const HeadNorm& op);

}  // namespace rwkv::cuda
