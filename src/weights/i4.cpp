// SPDX-License-Identifier: Apache-2.0
#include "weights/i4.h"

#include <algorithm>

#include "kernels/i4.h"
#include "kernels/quantize.h"

namespace rwkv {

bool fits_i4(std::int64_t n_out, std::int64_t n_in, bool input_major) {
  return n_in % kI4Group == 0 && (!input_major || n_out % kI4Group == 0);
}

std::int64_t i4_bytes(std::int64_t n) { return n / 2; }

std::int64_t i4_scales(std::int64_t n) { return n / kI4Group; }

void quantize_i4(std::span<const float> w, std::uint8_t* q, std::uint16_t* scale) {
  quantize_kernels().quantize_i4(w.data(), i4_scales(std::ssize(w)), q, scale);
}

void dequantize_i4(const std::uint8_t* q, const std::uint16_t* scale, std::span<float> w) {
  for (std::int64_t i = 0; i < std::ssize(w); ++i) w[i] = i4_value(q, scale, i);
}

void transpose_i4(const std::uint8_t* q, std::int64_t n, std::int64_t n_in, std::uint8_t* out) {
  for (std::int64_t i0 = 0; i0 < n_in; i0 += kI4Group) {
    for (std::int64_t m = 0; m < n; ++m) {
      const std::uint8_t* const row = q + i4_bytes(m * n_in);
      std::uint8_t* const column = out + m / kI4Group * kI4GroupBytes + m % kI4GroupBytes;
      const bool upper = m % kI4Group >= kI4GroupBytes;  // after the lower half of the same byte
      for (std::int64_t i = i0; i < i0 + kI4Group; ++i) {
        std::uint8_t& byte = column[i4_bytes(i * n)];
        const int nibble = i4_nibble(row, i);
        byte = static_cast<std::uint8_t>(upper ? byte | nibble << 4 : nibble);
      }
    }
  }
}

}  // namespace rwkv
