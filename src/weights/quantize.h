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
// Receives the same rows, quantised.
using WriteRows = std::function<void(std::int64_t first, std::span<const std::uint8_t> rows)>;

// Parts of at most `at_once` of [0, n); calls may come from several threads.
using PartTask = std::function<void(std::int64_t first, std::int64_t count)>;
using EachPart = std::function<void(std::int64_t n, std::int64_t at_once, const PartTask& task)>;

struct Quantization8 {
  std::int64_t n_out, n_in;
  ReadRows read;
  WriteRows write;
  EachPart each_part = nullptr;  // calls task for all parts, then returns; null: in order, on this thread
};

// Reads the matrix three times, some rows at a time, so that it is never in memory as a whole. The same result for every
// `each_part`.
QuantizedVectors quantize(const Quantization8& job);

// rows: the q of `n_out` rows that begin at row `first`; out: their values.
void dequantize(const QuantizedVectors& vectors, std::int64_t first, std::span<const std::uint8_t> rows, std::span<float> out);

}  // namespace rwkv
