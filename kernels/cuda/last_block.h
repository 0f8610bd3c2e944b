// SPDX-License-Identifier: Apache-2.0
// How blocks that make parts of a sum leave adding them to the one that comes last.
#pragma once
#include "kernels/cuda/launch.h"

namespace rwkv::cuda {

// Whether this is the last of n blocks that call it; what the others have written before can be read then, past the first-level
// cache. The counter is 0 before and afterwards.
__device__ inline bool is_last(unsigned* counter, int n) {
  SHARED_ARRAY(bool, last, [1]);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last[0] = atomicInc(counter, static_cast<unsigned>(n) - 1) == static_cast<unsigned>(n) - 1;
  __syncthreads();
  if (last[0]) __threadfence();
  return last[0];
}

}  // namespace rwkv::cuda
