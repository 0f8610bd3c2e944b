// SPDX-License-Identifier: Apache-2.0
// How kernels read and write the states of a batch: float32 or float16 in memory, float32 in registers.
#pragma once
#include <cuda_fp16.h>

#include "kernels/cuda/ptx.h"
#include "kernels/tensor.h"

namespace rwkv::cuda {

class StateOfSequence {
 public:
  // first: the number that is number 0 here.
  __device__ StateOfSequence(const StateArrays& arrays, unsigned seq, std::int64_t first)
      : is_half_(arrays.type == DType::f16), numbers_(static_cast<char*>(arrays.of[seq]) + first * (is_half_ ? 2 : 4)) {}

  // One number, or neighbours at a multiple of their count.
  template <class T>
  [[nodiscard]] __device__ T get(int i) const {
    if (!is_half_) return *reinterpret_cast<const T*>(floats() + i);
    if constexpr (sizeof(T) == 4) {
      return __half2float(halves()[i]);
    } else if constexpr (sizeof(T) == 8) {
      return __half22float2(*reinterpret_cast<const __half2*>(halves() + i));
    } else {
      const uint2 four = *reinterpret_cast<const uint2*>(halves() + i);
      const float2 a = __half22float2(reinterpret_cast<const __half2&>(four.x));
      const float2 b = __half22float2(reinterpret_cast<const __half2&>(four.y));
      return {a.x, a.y, b.x, b.y};
    }
  }

  __device__ void set(int i, float x) const {
    if (!is_half_) {
      floats()[i] = x;
    } else {
      halves()[i] = __float2half_rn(bounded(x));
    }
  }
  __device__ void set(int i, float2 x) const {
    if (!is_half_) {
      *reinterpret_cast<float2*>(floats() + i) = x;
    } else {
      *reinterpret_cast<__half2*>(halves() + i) = pair(x.x, x.y);
    }
  }
  __device__ void set(int i, float4 x) const {
    if (!is_half_) {
      *reinterpret_cast<float4*>(floats() + i) = x;
    } else {
      const __half2 a = pair(x.x, x.y), b = pair(x.z, x.w);
      *reinterpret_cast<uint2*>(halves() + i) = {reinterpret_cast<const unsigned&>(a), reinterpret_cast<const unsigned&>(b)};
    }
  }

  // Of the 128 bytes at number i.
  __device__ void prefetch_line(int i) const { prefetch(numbers_ + std::int64_t{i} * (is_half_ ? 2 : 4)); }
  [[nodiscard]] __device__ int numbers_in_line() const { return is_half_ ? 64 : 32; }

 private:
  static constexpr float kLargestHalf = 65504.0f;

  // NaN stays.
  __device__ static float bounded(float x) { return fabsf(x) > kLargestHalf ? copysignf(kLargestHalf, x) : x; }
  __device__ static __half2 pair(float x, float y) { return __floats2half2_rn(bounded(x), bounded(y)); }
  [[nodiscard]] __device__ float* floats() const { return reinterpret_cast<float*>(numbers_); }
  [[nodiscard]] __device__ __half* halves() const { return reinterpret_cast<__half*>(numbers_); }

  bool is_half_;
  char* numbers_;
};

}  // namespace rwkv::cuda
