// SPDX-License-Identifier: Apache-2.0
// Token shift as double-precision loops, and how near to them a device must be.
#pragma once
#include <cstdint>
#include <vector>

namespace rwkv::test {

// Four roundings of numbers of size 10; with mu_row, of four times that.
inline constexpr double kTokenShift = 4e-6;

// out = x + (mu + mu_row) (x' - x); offsets: of the sequences' rows
inline std::vector<double> plain_token_shift(const std::vector<std::int32_t>& offsets, const std::vector<float>& x,
                                             std::int64_t n, const std::vector<float>& mu, const float* mu_row,
                                             const std::vector<std::vector<float>>& last_x) {
  std::vector<double> out(x.size());
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    for (std::int64_t row = offsets[s]; row < offsets[s + 1]; ++row) {
      for (std::int64_t c = 0; c < n; ++c) {
        const std::int64_t at = row * n + c;
        const double before = row == offsets[s] ? last_x[s][c] : x[at - n];
        out[at] = x[at] + (double(mu[c]) + (mu_row ? mu_row[at] : 0.0f)) * (before - x[at]);
      }
    }
  }
  return out;
}

}  // namespace rwkv::test
