// SPDX-License-Identifier: Apache-2.0
// float16 and bfloat16 as 16 bits: conversions, rounding to nearest even.
#pragma once
#include <bit>
#include <cstdint>

namespace rwkv {

inline float bf16_to_f32(std::uint16_t h) { return std::bit_cast<float>(std::uint32_t(h) << 16); }

// NaN stays NaN (its top payload bit is set, so that rounding cannot make it infinite).
inline std::uint16_t f32_to_bf16(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return std::uint16_t((bits >> 16) | 0x40u);
  return std::uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float f16_to_f32(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t(h & 0x8000u) << 16;
  const std::uint32_t rest = std::uint32_t(h & 0x7fffu) << 13;
  // Moves the exponent from bias 15 to bias 127 by a multiplication, which also normalises subnormal numbers.
  const float magnitude = std::bit_cast<float>(rest) * 0x1p112f;
  const std::uint32_t infinite = (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
  return std::bit_cast<float>(sign | infinite | std::bit_cast<std::uint32_t>(magnitude));
}

// Beyond 65504 (after rounding) becomes infinity.
inline std::uint16_t f32_to_f16(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  const auto sign = std::uint16_t((bits >> 16) & 0x8000u);
  const std::uint32_t a = bits & 0x7fffffffu;
  if (a > 0x7f800000u) return sign | 0x7e00u;   // NaN
  if (a >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 65536 or more
  if (a >= 0x38800000u) return std::uint16_t(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
  // Subnormal: adding 0.5 puts the wanted bits at the bottom of the mantissa, rounded to nearest even by the addition.
  const float shifted = std::bit_cast<float>(a) + 0.5f;
  return std::uint16_t(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
}

}  // namespace rwkv
