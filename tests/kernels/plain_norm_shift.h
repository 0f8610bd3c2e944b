// SPDX-License-Identifier: Apache-2.0
// LayerNorm with token shift as double-precision loops, and how near to them a device must be.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/plain_norm.h"
#include "kernels/values.h"

namespace rwkv::test {

// Two norms of size 5, the other one times mu, which is between -1 and 2.
inline constexpr double kNormShift = 4 * (kNormAbsolute + 5 * kNormRelative);

// A ragged batch of rows of n channels and what they are normed and mixed with.
struct NormShiftInputs {
  std::vector<std::int32_t> offsets{0};
  std::int64_t n;
  std::vector<float> x, weight, bias;
  std::vector<std::vector<float>> last_x;  // [n_seq]

  NormShiftInputs(const std::vector<int>& lengths, std::int64_t n_col) : n(n_col) {
    for (const int length : lengths) offsets.push_back(offsets.back() + length);
    x = floats(n_row() * n, 10, 2.0f, 0.5f), weight = floats(n, 11, 0.5f, 1.0f), bias = floats(n, 12);
    for (std::uint32_t s = 0; s < lengths.size(); ++s) last_x.push_back(floats(n, 100 + s));
  }
  [[nodiscard]] std::int64_t n_row() const { return offsets.back(); }
  [[nodiscard]] std::int64_t n_seq() const { return static_cast<std::int64_t>(last_x.size()); }

  // mu of output o.
  [[nodiscard]] std::vector<float> mu(int o) const { return floats(n, static_cast<std::uint32_t>(200 + o), 0.3f, 0.5f); }

  [[nodiscard]] std::vector<double> h() const { return plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f); }

  // h' - h
  [[nodiscard]] std::vector<double> difference() const {
    const auto normed = h();
    std::vector<double> out(normed.size());
    for (std::int64_t s = 0; s < n_seq(); ++s) {
      for (std::int64_t at = offsets[s] * n; at < offsets[s + 1] * n; ++at) {
        out[at] = (at / n == offsets[s] ? double(last_x[s][at % n]) : normed[at - n]) - normed[at];
      }
    }
    return out;
  }
  // h + mu (h' - h)
  [[nodiscard]] std::vector<double> mixed(const std::vector<float>& mu) const {
    const auto more = difference();
    auto out = h();
    for (std::size_t at = 0; at < out.size(); ++at) out[at] += double(mu[at % n]) * more[at];
    return out;
  }

  // What last_x is afterwards, given all of h; as before for a sequence without rows.
  [[nodiscard]] std::vector<float> remembered(std::int64_t seq, const std::vector<float>& found_h) const {
    if (offsets[seq] == offsets[seq + 1]) return last_x[seq];
    const auto end = found_h.begin() + offsets[seq + 1] * n;
    return {end - n, end};
  }
};

}  // namespace rwkv::test
