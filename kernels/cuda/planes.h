// SPDX-License-Identifier: Apache-2.0
// x for tensor cores: float32 as one 16-bit number or the sum of two, in "planes": 11 or 22 bits in float16, 8 or 16 in
// bfloat16. float16 is scaled by a power of two per row: numbers below 2^-29 of its largest lose bits in one plane, below 2^-18
// in two.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "kernels/tensor.h"

namespace rwkv::cuda {

// What W of a type is multiplied as.
template <DType type>
using Number = std::conditional_t<type == DType::f16 || type == DType::i8, __half, __nv_bfloat16>;

// Up to 32 rows have all bits of x that matter, as sequences that are decoded together shall get the logits they get alone.
// More are mostly a prompt.
constexpr int kMostTwoPlanes = 32;

template <class T>
__device__ T narrowed(float x) {
  if constexpr (std::is_same_v<T, __half>) return __float2half_rn(x);
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return __float2bfloat16_rn(x);
}
__device__ inline float widened(__half x) { return __half2float(x); }
__device__ inline float widened(__nv_bfloat16 x) { return __bfloat162float(x); }

// Two at once, as a word.
template <class T>
__device__ unsigned narrowed(float a, float b) {
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 pair = __floats2half2_rn(a, b);
    return reinterpret_cast<const unsigned&>(pair);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
    return reinterpret_cast<const unsigned&>(pair);
  }
}
template <class T>
__device__ float2 widened(unsigned pair) {
  if constexpr (std::is_same_v<T, __half>) return __half22float2(reinterpret_cast<const __half2&>(pair));
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

// What the first plane lacks; 0 for an infinity.
__device__ inline float rest_of(float x, float first) {
  const float rest = x - first;
  return rest == rest ? rest : 0.0f;
}

// A row whose largest number this is fits float16 times 2^shift: that number becomes 2^14 to 2^15.
__device__ inline int float16_shift(float largest) {
  const int exponent = static_cast<int>(__float_as_uint(largest) >> 23) - 127;
  return exponent == 128 ? 0 : min(14 - exponent, 120);
}
__device__ inline float power_of_two(int exponent) { return __uint_as_float(static_cast<unsigned>(127 + exponent) << 23); }

}  // namespace rwkv::cuda
