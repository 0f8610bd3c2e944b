// SPDX-License-Identifier: Apache-2.0
// Transposing matrices in host memory, with the instruction set of this machine.
#pragma once
#include <cstdint>

namespace rwkv {

// out[m, i] = in[i, m]; in: [n_row, n_col], its rows in_stride elements apart; out: [n_col, n_row], out_stride apart.
using Transpose = void (*)(const void* in, std::int64_t n_row, std::int64_t n_col, std::int64_t in_stride, void* out,
                           std::int64_t out_stride);

// For elements of 1, 2 or 4 bytes.
[[nodiscard]] Transpose transposer(std::int64_t element_bytes);

}  // namespace rwkv
