// SPDX-License-Identifier: Apache-2.0
// What kernels that keep the state of RWKV-7 in registers do with it. kLanes neighbouring lanes share rows of the state: lane l
// has of each row the keys 4 (l + kLanes q) to 4 (l + kLanes q) + 3, q = 0, 1 ...
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/warp.h"

namespace rwkv::cuda {

inline constexpr int kLanes = 8;

__device__ inline float4& vector_at(float* x) { return *reinterpret_cast<float4*>(x); }
__device__ inline const float4& vector_at(const float* x) { return *reinterpret_cast<const float4*>(x); }

// Sums over the kLanes lanes, side by side.
template <int n>
__device__ void sum_lanes(float (&x)[n]) {
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) {
    for (int i = 0; i < n; ++i) x[i] += __shfl_xor_sync(kWholeWarp, x[i], lanes);
  }
}

__device__ inline float dot(float4 x, float4 y, float sum) {
  return fmaf(x.w, y.w, fmaf(x.z, y.z, fmaf(x.y, y.y, fmaf(x.x, y.x, sum))));
}

// s w - removed b + v k
__device__ inline float4 advance(float4 s, float4 w, float removed, float4 b, float v, float4 k) {
  return {fmaf(v, k.x, fmaf(-removed, b.x, s.x * w.x)), fmaf(v, k.y, fmaf(-removed, b.y, s.y * w.y)),
          fmaf(v, k.z, fmaf(-removed, b.z, s.z * w.z)), fmaf(v, k.w, fmaf(-removed, b.w, s.w * w.w))};
}

}  // namespace rwkv::cuda
