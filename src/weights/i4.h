// SPDX-License-Identifier: Apache-2.0
// 4-bit weights (kernels/i4.h) on the host. A file holds NAME as u8 [n_out, n_in / 2] and NAME.scale as bf16 [n_out, n_in /
// 32].
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace rwkv {

inline constexpr const char* kI4Scale = ".scale";

// Whether a matrix can be of 4 bits: whole groups along the input, of an input-major one along the output too. Others keep the
// type that the strategy names for what is not quantised.
[[nodiscard]] bool fits_i4(std::int64_t n_out, std::int64_t n_in, bool input_major);

[[nodiscard]] std::int64_t i4_bytes(std::int64_t n);   // of n numbers, without their scales
[[nodiscard]] std::int64_t i4_scales(std::int64_t n);  // of n numbers: so many groups

// w: whole groups; q: i4_bytes(n), scale: i4_scales(n), all rows one after the other.
void quantize_i4(std::span<const float> w, std::uint8_t* q, std::uint16_t* scale);
void dequantize_i4(const std::uint8_t* q, const std::uint16_t* scale, std::span<float> w);

// out[i, m] = q[m, i] for m < n; q: [n, n_in], out: [n_in, n], both packed along their rows; n: whole groups.
void transpose_i4(const std::uint8_t* q, std::int64_t n, std::int64_t n_in, std::uint8_t* out);

}  // namespace rwkv
