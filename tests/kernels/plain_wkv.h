// SPDX-License-Identifier: Apache-2.0
// WKV of versions 4, 5 and 6 over ragged batches (spec 2.1, 2.2, 2.3): inputs, double-precision loops, and how near to them a
// device must be.
#pragma once
#include <algorithm>

#include "kernels/ragged.h"
#include "kernels/rwkv4.h"
#include "kernels/rwkv5.h"
#include "kernels/values.h"

namespace rwkv::test {

// Each step adds some roundings of values up to 10, which the decay (below 1) keeps from growing.
inline constexpr double kWkv4Absolute = 2e-5, kWkv4Relative = 1e-5;

struct Wkv4Inputs {
  std::int64_t att;
  Ragged ragged;
  std::vector<float> r, k, v, w, u, out;
  Wkv4 op;

  explicit Wkv4Inputs(std::int64_t n, float k_scale = 2.0f, std::initializer_list<int> lengths = {1, 5, 3})
      : att(n), ragged(lengths) {
    const std::int64_t all = ragged.n_row() * n;
    r = floats(all, 1), k = floats(all, 2, k_scale), v = floats(all, 3), u = floats(n, 4), out = nans(all);
    for (const float d : floats(n, 5, 2.0f, -2.0f)) w.push_back(-std::exp(d));
    float* const* aa = ragged.slot(n, 6);
    float* const* bb = ragged.slot(n, 10, 0.2f, 2.0f);
    float* const* pp = ragged.slot(n, 20, k_scale);
    op = {rows(r, n), rows(k, n), rows(v, n), w.data(), u.data(), aa, bb, pp, rows(out, n)};
  }
};

// What of the state must agree: the true accumulators are e^pp times aa and bb, compared at the scale that was found.
inline void expect_wkv4(const Wkv4Inputs& in, const std::vector<std::vector<std::vector<float>>>& start) {
  for (std::int64_t s = 0; s < in.ragged.n_seq(); ++s) {
    // Each token rounds pp, of size up to 16, by up to 5e-7: beyond 20 tokens that is what counts.
    const double many = std::max(1.0, (in.ragged.offsets[s + 1] - in.ragged.offsets[s]) / 20.0);
    const double absolute = many * kWkv4Absolute, relative = many * kWkv4Relative;
    for (std::int64_t c = 0; c < in.att; ++c) {
      double aa = start[0][s][c], bb = start[1][s][c], pp = start[2][s][c];
      for (std::int64_t row = in.ragged.offsets[s]; row < in.ragged.offsets[s + 1]; ++row) {
        const std::int64_t at = row * in.att + c;
        const double k = in.k[at], v = in.v[at], u = in.u[c], w = in.w[c];
        const double p = std::max(pp, u + k), e1 = std::exp(pp - p), e2 = std::exp(u + k - p);
        const double expected = in.r[at] * (e1 * aa + e2 * v) / (e1 * bb + e2);
        ASSERT_NEAR(in.out[at], expected, absolute + relative * std::abs(expected)) << "row " << row << " channel " << c;
        const double q = std::max(pp + w, k), f1 = std::exp(pp + w - q), f2 = std::exp(k - q);
        aa = f1 * aa + f2 * v, bb = f1 * bb + f2, pp = q;
      }
      ASSERT_NEAR(in.ragged.arrays[2][s][c], pp, many * (1e-5 + 1e-6 * std::abs(pp)));
      ASSERT_NEAR(in.ragged.arrays[0][s][c], aa, absolute + relative * std::abs(aa)) << "sequence " << s << " channel " << c;
      ASSERT_NEAR(in.ragged.arrays[1][s][c], bb, absolute + relative * std::abs(bb)) << "sequence " << s << " channel " << c;
    }
  }
}

struct LinearInputs {
  std::int64_t att, size;
  Ragged ragged;
  std::vector<float> r, k, v, w, u, out;
  LinearAttention op;

  LinearInputs(std::int64_t n_head, std::int64_t n, bool decay_per_row, std::initializer_list<int> lengths = {2, 1, 6})
      : att(n_head * n), size(n), ragged(lengths) {
    const std::int64_t all = ragged.n_row() * att;
    r = floats(all, 1, 0.5f), k = floats(all, 2, 0.5f), v = floats(all, 3), u = floats(att, 4), out = nans(all);
    for (const float d : floats(decay_per_row ? all : att, 5, 1.5f, -1.0f)) w.push_back(std::exp(-std::exp(d)));
    float* const* s = ragged.slot(att * n, 6);
    op = {n_head, rows(r, att), rows(k, att), rows(v, att), w.data(), decay_per_row ? att : 0, u.data(), s, rows(out, att)};
  }
};

// state: of an element of the state; an output sums N of them.
inline void expect_linear(const LinearInputs& in, const std::vector<std::vector<float>>& start, double state = 2e-6) {
  for (std::int64_t seq = 0; seq < in.ragged.n_seq(); ++seq) {
    auto s = doubles(start[seq]);  // [H, key, value]
    for (std::int64_t row = in.ragged.offsets[seq]; row < in.ragged.offsets[seq + 1]; ++row) {
      for (std::int64_t c = 0; c < in.att; ++c) {
        const std::int64_t head = c / in.size, j = c % in.size;
        double y = 0, terms = 0;
        for (std::int64_t i = 0; i < in.size; ++i) {
          const std::int64_t key = head * in.size + i, at = row * in.att + key;
          double& s_ij = s[key * in.size + j];
          const double kv = double(in.k[at]) * in.v[row * in.att + c], term = in.r[at] * (s_ij + in.u[key] * kv);
          y += term, terms += std::abs(term);
          s_ij = in.w[row * in.op.w_stride + key] * s_ij + kv;
        }
        ASSERT_NEAR(in.out[row * in.att + c], y, state / 2 + 1e-6 * terms) << "row " << row << " channel " << c;
      }
    }
    ASSERT_NO_FATAL_FAILURE(expect_near(in.ragged.arrays[0][seq], s, state, 1e-6)) << "sequence " << seq;
  }
}

}  // namespace rwkv::test
