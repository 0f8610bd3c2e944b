// SPDX-License-Identifier: Apache-2.0
// Views of device memory that kernels work on. They own nothing.
#pragma once
#include <cstdint>
#include <string_view>

namespace rwkv {

// Types of weights. Activations are float32 on every device.
enum class DType : std::uint8_t {
  f32,
  f16,
  bf16,
  i8,  // 8 bit with a scale and an offset per row and per column: see Matrix
  i4,  // 4 bit with a scale per group of neighbours along the input: i4.h
};

[[nodiscard]] constexpr std::string_view name_of(DType type) {
  constexpr std::string_view kNames[] = {"fp32", "fp16", "bf16", "i8", "i4"};
  return kNames[static_cast<int>(type)];
}

// Of one number of a type that has whole bytes: not of i4.
[[nodiscard]] constexpr std::int64_t bytes_of(DType type) {
  constexpr std::int64_t kBytes[] = {4, 2, 2, 1, 0};
  return kBytes[static_cast<int>(type)];
}

// Of n numbers; i4: without their scales, n even.
[[nodiscard]] constexpr std::int64_t bytes_of(DType type, std::int64_t n) {
  return type == DType::i4 ? n / 2 : n * bytes_of(type);
}

// Activations: [n_row, n_col], row-major without gaps.
struct Rows {
  float* data = nullptr;
  std::int64_t n_row = 0;
  std::int64_t n_col = 0;
};

// A weight matrix W [n_out, n_in], row-major as in a checkpoint; or input-major, W^T row-major: for inputs with many zeros, as
// rows of W^T whose input is 0 need not be read.
struct Matrix {
  DType type = DType::f32;
  std::int64_t n_out = 0;
  std::int64_t n_in = 0;
  const void* data = nullptr;
  bool input_major = false;

  // i8 only: W[m, n] = (q[m, n] + 0.5) rx[m] ry[n] + mx[m] + my[n]; spec 2.9.
  const float* mx = nullptr;  // [n_out]
  const float* rx = nullptr;  // [n_out]
  const float* my = nullptr;  // [n_in]
  const float* ry = nullptr;  // [n_in]

  // i4 only: n_in (input-major: n_out too) is a multiple of 32; bfloat16 [n_out, n_in / 32], input-major [n_in / 32, n_out].
  const std::uint16_t* scale = nullptr;
};

// The same array of the states of a batch's sequences; float32, or float16 where KernelTable::half_states.
struct StateArrays {
  void* const* of = nullptr;  // [n_seq]
  DType type = DType::f32;

  StateArrays() = default;
  StateArrays(float* const* arrays) : of(reinterpret_cast<void* const*>(arrays)) {}
  StateArrays(void* const* arrays, DType of_numbers) : of(arrays), type(of_numbers) {}

  // Of float32.
  [[nodiscard]] float* floats(std::int64_t seq) const { return static_cast<float*>(of[seq]); }
};

// Which rows of the packed activations belong to which sequence of a ragged batch.
struct Batch {
  std::int64_t n_seq = 0;
  std::int64_t n_row = 0;
  const std::int32_t* offsets = nullptr;  // [n_seq + 1], on the device; sequence s has rows offsets[s] .. offsets[s + 1] - 1
};

}  // namespace rwkv
