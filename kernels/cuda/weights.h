// SPDX-License-Identifier: Apache-2.0
// How kernels read weights: one number anywhere, or 16 bytes of neighbours and of them four numbers at a time. Numbers of i8
// come as q - 128 and those of i4 as code[q], without their scales.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/product.h"
#include "kernels/i4.h"

namespace rwkv::cuda {

__device__ inline float widen_bf16(std::uint16_t x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }

// Byte i of four, less 128: placed in the mantissa of 2^23.
__device__ inline float byte_value(unsigned bytes, int i) {
  return __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7440u | static_cast<unsigned>(i))) - 8388736.0f;
}

constexpr unsigned packed_codes(int first) {
  unsigned word = 0;
  for (int i = 0; i < 4; ++i) word |= static_cast<unsigned>(kI4Code[first + i]) << (8 * i);
  return word;
}
inline constexpr unsigned kCodes0 = packed_codes(0), kCodes4 = packed_codes(4), kCodes8 = packed_codes(8),
                          kCodes12 = packed_codes(12);

// The codes of the four nibbles in the lower half of a word, a byte each: both halves of the table are looked up by three
// bits, and the fourth chooses.
__device__ inline unsigned codes_of(unsigned nibbles) {
  const unsigned low = __byte_perm(kCodes0, kCodes4, nibbles & 0x7777u);
  const unsigned high = __byte_perm(kCodes8, kCodes12, nibbles & 0x7777u);
  return __byte_perm(low, high, 0x3210u | (nibbles & 0x8888u) >> 1);
}

// Neighbours in 16 bytes.
template <DType type>
inline constexpr int kVector = type == DType::f32  ? 4
                               : type == DType::i8 ? 16
                               : type == DType::i4 ? 32
                                                   : 8;

// Where in the vector its quad c begins: the codes of a byte of i4 are 16 apart.
template <DType type>
__device__ constexpr int quad_at(int c) {
  return type == DType::i4 ? c / 2 * 4 + c % 2 * 16 : 4 * c;
}

__device__ inline unsigned word_of(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Two 16-bit numbers of a word.
template <DType type>
__device__ inline float2 pair_of(unsigned word) {
  if constexpr (type == DType::f16) return __half22float2(reinterpret_cast<const __half2&>(word));
  return {__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)};
}

// Numbers quad_at(c) .. + 3 of the vector; c is known when compiled.
template <DType type>
__device__ inline float4 quad_of(const uint4& v, int c) {
  if constexpr (type == DType::f32) {
    return {__uint_as_float(v.x), __uint_as_float(v.y), __uint_as_float(v.z), __uint_as_float(v.w)};
  } else if constexpr (type == DType::i8) {
    const unsigned word = word_of(v, c);
    return {byte_value(word, 0), byte_value(word, 1), byte_value(word, 2), byte_value(word, 3)};
  } else if constexpr (type == DType::i4) {
    const unsigned word = word_of(v, c / 2), first = codes_of(word), second = codes_of(word >> 16);
    const int odd = c % 2;
    return {byte_value(first, odd), byte_value(first, odd + 2), byte_value(second, odd), byte_value(second, odd + 2)};
  } else {
    const float2 a = pair_of<type>(word_of(v, 2 * c)), b = pair_of<type>(word_of(v, 2 * c + 1));
    return {a.x, a.y, b.x, b.y};
  }
}

// Number i of the matrix as it lies in memory.
template <DType type>
__device__ inline float number_at(const void* w, std::int64_t i) {
  if constexpr (type == DType::f32) return static_cast<const float*>(w)[i];
  if constexpr (type == DType::f16) return __half2float(static_cast<const __half*>(w)[i]);
  if constexpr (type == DType::bf16) return widen_bf16(static_cast<const std::uint16_t*>(w)[i]);
  const auto* const bytes = static_cast<const std::uint8_t*>(w);
  if constexpr (type == DType::i8) return static_cast<float>(bytes[i] - 128);
  const unsigned both = bytes[i / kI4Group * kI4GroupBytes + i % kI4GroupBytes];
  return byte_value(codes_of(both >> (i % kI4Group / kI4GroupBytes * 4) & 15u), 0);
}

// W[m, k]
template <DType type, bool input_major>
__device__ inline float weight_at(const Product& p, int m, int k) {
  const float number = number_at<type>(p.w, input_major ? std::int64_t{k} * p.out_stride + m : std::int64_t{m} * p.n_in + k);
  if constexpr (type == DType::i8) return (number + 128.5f) * p.rx[m] * p.ry[k] + p.mx[m] + p.my[k];
  if constexpr (type == DType::i4) {
    const int group = k / static_cast<int>(kI4Group);
    const std::int64_t at =
        input_major ? std::int64_t{group} * p.out_stride + m : std::int64_t{m} * (p.n_in / kI4Group) + group;
    return number * widen_bf16(p.scale[at]);
  }
  return number;
}

}  // namespace rwkv::cuda
