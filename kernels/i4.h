// SPDX-License-Identifier: Apache-2.0
// 4-bit weights: 32 neighbours along the input share a bfloat16 scale, W = scale code[q]. Byte j of the 16 of 32 neighbours in
// a row holds q[j] in its lower half and q[j + 16] in its upper one; of an input-major matrix the rows run along the output.
#pragma once
#include <cstdint>

#include "kernels/half.h"

namespace rwkv {

constexpr std::int64_t kI4Group = 32;
constexpr std::int64_t kI4GroupBytes = kI4Group / 2;

// code[q] + 128. The 16 values give the least square error for groups of numbers with the tails of trained weights (Student's t
// with 6 degrees of freedom); as one side reaches further than the other, the sign of the scale says which. docs/numerics.md
constexpr int kI4Zero = 128;
alignas(16) inline constexpr std::uint8_t kI4Code[16] = {1,   40,  62,  78,  92,  103, 113, 122,
                                                         131, 140, 151, 162, 176, 192, 213, 240};

inline int i4_nibble(const std::uint8_t* row, std::int64_t i) {
  return row[i / kI4Group * kI4GroupBytes + i % kI4GroupBytes] >> (i % kI4Group / kI4GroupBytes * 4) & 15;
}

// Number i of a row of n_in, from its nibbles and the scales of its groups.
inline float i4_value(const std::uint8_t* row, const std::uint16_t* scale, std::int64_t i) {
  return bf16_to_f32(scale[i / kI4Group]) * static_cast<float>(kI4Code[i4_nibble(row, i)] - kI4Zero);
}

}  // namespace rwkv
