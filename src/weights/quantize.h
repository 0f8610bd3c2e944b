// SPDX-License-Identifier: Apache-2.0
// 8-bit weights as the `rwkv` package defines them (spec 2.9): W[m, n] = (q + 0.5) rx[m] ry[n] + mx[m] + my[n], m the output.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rwkv {

struct QuantizedVectors {
  std::vector<float> mx, rx;  // [n_out]; rx and ry are divided by 16 each, as q is a number of 256ths
  std::vector<float> my, ry;  // [n_in]
};

// Rows [first, first + rows.size() / n_in) of the matrix [n_out, n_in].
using ReadRows = std::function<void(std::int64_t first, std::span<float> rows)>;
// Receives the same rows, quantised, in order.
using WriteRows = std::function<void(std::int64_t first, std::span<const std::uint8_t> rows)>;

// Reads the matrix three times, some rows at a time, so that it is never in memory as a whole.
QuantizedVectors quantize(std::int64_t n_out, std::int64_t n_in, const ReadRows& read, const WriteRows& write);

// rows: the q of `n_out` rows that begin at row `first`; out: their values.
void dequantize(const QuantizedVectors& vectors, std::int64_t first, std::span<const std::uint8_t> rows, std::span<float> out);

}  // namespace rwkv
