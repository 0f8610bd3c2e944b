// SPDX-License-Identifier: Apache-2.0
// Drawing tokens from logits; what it does: kernels/sample.h.
#pragma once
#include <cstddef>

#include "kernels/cuda/scratch.h"
#include "kernels/kernels.h"

namespace rwkv::cuda {

// Most bytes of scratch memory that it takes, for 250 draws from 65,536 tokens; of more draws it launches one part after
// another.
constexpr std::size_t kSampleScratch = std::size_t{8} << 20;

void sample(cudaStream_t stream, Scratch& scratch, const Sample& all);

}  // namespace rwkv::cuda
