// SPDX-License-Identifier: Apache-2.0
// Sums and maxima over the lanes of a warp.
#pragma once
#include <cuda_runtime.h>

namespace rwkv::cuda {

inline constexpr unsigned kWholeWarp = 0xffffffffu;

// Over each group of `lanes` neighbours, a power of two, in every lane of it. All lanes of the warp call it.
template <class T>
__device__ inline T warp_sum(T x, int lanes = 32) {
  for (int l = lanes / 2; l > 0; l /= 2) x += __shfl_xor_sync(kWholeWarp, x, l);
  return x;
}

// Over all lanes, in every lane.
__device__ inline float warp_max(float x) {
  for (int l = 16; l > 0; l /= 2) x = fmaxf(x, __shfl_xor_sync(kWholeWarp, x, l));
  return x;
}

}  // namespace rwkv::cuda
