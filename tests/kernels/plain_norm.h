// SPDX-License-Identifier: Apache-2.0
// Layer norm and head norm as double-precision loops, and how near to them a device must be.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace rwkv::test {

// Outputs are of size 1 to 5 and come from some ten roundings of numbers of that size.
inline constexpr double kNormAbsolute = 4e-6, kNormRelative = 2e-6;

inline std::vector<double> plain_norm(const std::vector<double>& x, std::int64_t size, std::int64_t n_head, const float* weight,
                                      const float* bias, double eps, const float* gate = nullptr) {
  std::vector<double> out(x.size());
  for (std::size_t first = 0; first < x.size(); first += size) {
    const std::size_t c = first % (size * n_head);
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < size; ++i) mean += x[first + i] / double(size);
    for (std::int64_t i = 0; i < size; ++i) variance += (x[first + i] - mean) * (x[first + i] - mean) / double(size);
    for (std::int64_t i = 0; i < size; ++i) {
      out[first + i] = (x[first + i] - mean) / std::sqrt(variance + eps) * weight[c + i] + bias[c + i];
      if (gate) out[first + i] *= gate[first + i];
    }
  }
  return out;
}

// Rows of n values: those of x that are chosen, in their order.
template <class T>
std::vector<T> chosen(const std::vector<T>& x, std::int64_t n, const std::vector<std::int32_t>& rows) {
  std::vector<T> out;
  for (const std::int32_t row : rows) out.insert(out.end(), x.begin() + row * n, x.begin() + (row + 1) * n);
  return out;
}

}  // namespace rwkv::test
