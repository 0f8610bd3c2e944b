// SPDX-License-Identifier: Apache-2.0
// Drawing tokens from logits; what it does: kernels/sample.h.
#pragma once
#include "kernels/cuda/scratch.h"
#include "kernels/kernels.h"

namespace rwkv::cuda {

void sample(cudaStream_t stream, Scratch& scratch, const Sample& op);

}  // namespace rwkv::cuda
