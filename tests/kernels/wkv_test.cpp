// SPDX-License-Identifier: Apache-2.0
// WKV of versions 4, 5 and 6 over ragged batches against double-precision loops (spec 2.1, 2.2, 2.3).
#include "kernels/kernel_testing.h"

namespace rwkv::test {
namespace {

using WkvKernel = EveryInstructionSet;

// Each step adds some roundings of values up to 10, which the decay (below 1) keeps from growing.
constexpr double kAbsolute = 2e-5, kRelative = 1e-5;

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
void expect_wkv4(const Wkv4Inputs& in, const std::vector<std::vector<std::vector<float>>>& start) {
  for (std::int64_t s = 0; s < in.ragged.n_seq(); ++s) {
    // Each token rounds pp, of size up to 16, by up to 5e-7: beyond 20 tokens that is what counts.
    const double many = std::max(1.0, (in.ragged.offsets[s + 1] - in.ragged.offsets[s]) / 20.0);
    const double absolute = many * kAbsolute, relative = many * kRelative;
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

TEST_P(WkvKernel, Version4EqualsPlainLoops) {
  for (const std::int64_t n : {1, 15, 16, 40, 128, 131, 300}) {
    Wkv4Inputs in(n);
    const auto start = in.ragged.arrays;
    table.rwkv4->wkv(device, in.ragged.batch(), in.op);
    ASSERT_NO_FATAL_FAILURE(expect_wkv4(in, start)) << n;
  }
}

TEST_P(WkvKernel, Version4EqualsPlainLoopsOverManyTokens) {
  for (const std::int64_t n : {5, 16, 300}) {  // of the last one, two tasks per sequence
    Wkv4Inputs in(n, 2.0f, {1, 2, 15, 16, 17, 100});
    const auto start = in.ragged.arrays;
    table.rwkv4->wkv(device, in.ragged.batch(), in.op);
    ASSERT_NO_FATAL_FAILURE(expect_wkv4(in, start)) << n;
  }
}

TEST_P(WkvKernel, Version4StartsFromTheInitialState) {
  Wkv4Inputs in(33);
  for (auto& aa : in.ragged.arrays[0]) std::ranges::fill(aa, 0.0f);
  for (auto& bb : in.ragged.arrays[1]) std::ranges::fill(bb, 0.0f);
  for (auto& pp : in.ragged.arrays[2]) std::ranges::fill(pp, -1e30f);
  const auto start = in.ragged.arrays;
  table.rwkv4->wkv(device, in.ragged.batch(), in.op);
  expect_wkv4(in, start);
}

// The weights e^k would overflow; the running maximum keeps every exponent at or below 0. Rounding k of size 1e4 costs 5e-4 of
// an exponent, so only weighted means are checked: they lie between the smallest and the largest v.
TEST_P(WkvKernel, Version4StaysFiniteForKeysOfSizeTenThousand) {
  Wkv4Inputs in(35, 1e4f);
  std::ranges::fill(in.r, 1.0f);
  for (auto& aa : in.ragged.arrays[0]) std::ranges::fill(aa, 1.0f);
  table.rwkv4->wkv(device, in.ragged.batch(), in.op);
  for (const float y : in.out) ASSERT_LE(std::abs(y), 5.0f);
  for (const auto& slot : in.ragged.arrays) {
    for (const auto& sequence : slot) {
      for (const float x : sequence) ASSERT_TRUE(std::isfinite(x));
    }
  }
}

TEST_P(WkvKernel, Version4PassesNanOnInItsChannel) {
  Wkv4Inputs in(20);
  in.k[1 * 20 + 3] = kNan;   // first row of the second sequence
  in.v[7 * 20 + 19] = kNan;  // second row of the third
  std::ranges::fill(in.out, 1.0f);
  table.rwkv4->wkv(device, in.ragged.batch(), in.op);
  for (int row = 0; row < 9; ++row) {
    for (int c = 0; c < 20; ++c) {
      const bool expected = (c == 3 && row >= 1 && row < 6) || (c == 19 && row >= 7);
      EXPECT_EQ(std::isnan(in.out[row * 20 + c]), expected) << "row " << row << " channel " << c;
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
void expect_linear(const LinearInputs& in, const std::vector<std::vector<float>>& start, double state = 2e-6) {
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

TEST_P(WkvKernel, Version5EqualsPlainLoopsWithOneDecayForAllTokens) {
  for (const std::int64_t size : {1, 8, 20, 64}) {
    LinearInputs in(3, size, false);
    const auto start = in.ragged.arrays[0];
    table.rwkv5->wkv(device, in.ragged.batch(), in.op);
    ASSERT_NO_FATAL_FAILURE(expect_linear(in, start)) << size;
  }
}

TEST_P(WkvKernel, Version6EqualsPlainLoopsWithADecayPerToken) {
  for (const std::int64_t size : {1, 8, 20, 64}) {
    LinearInputs in(2, size, true);
    const auto start = in.ragged.arrays[0];
    table.rwkv6->wkv(device, in.ragged.batch(), in.op);
    ASSERT_NO_FATAL_FAILURE(expect_linear(in, start)) << size;
  }
}

// Decays at both ends too: 0 forgets all; 1 keeps all, where 100 tokens make a state of size 10, each rounded by up to 5e-7, of
// which one in ten remains when they add up at random.
TEST_P(WkvKernel, Version6EqualsPlainLoopsOverManyTokens) {
  for (const std::int64_t size : {3, 64, 84, 132}) {
    for (const float decay : {-1.0f, 0.0f, 1.0f}) {
      LinearInputs in(2, size, true, {1, 2, 15, 16, 17, 100});
      if (decay >= 0) std::ranges::fill(in.w, decay);
      const auto start = in.ragged.arrays[0];
      table.rwkv6->wkv(device, in.ragged.batch(), in.op);
      ASSERT_NO_FATAL_FAILURE(expect_linear(in, start, decay == 1.0f ? 1e-5 : 2e-6)) << size << " decay " << decay;
    }
  }
}

TEST_P(WkvKernel, Version5PassesNanOnInItsHead) {
  LinearInputs in(3, 8, false);
  in.v[3 * 24 + 8 + 5] = kNan;  // value channel 5 of head 1 in the first row of the third sequence
  std::ranges::fill(in.out, 1.0f);
  table.rwkv5->wkv(device, in.ragged.batch(), in.op);
  for (int i = 0; i < 9 * 24; ++i) EXPECT_EQ(std::isnan(in.out[i]), i / 24 >= 3 && i % 24 == 13) << i;
}

TEST_P(WkvKernel, Version6HasTheAttentionOfVersion5OfTheSameInstructionSet) { EXPECT_EQ(table.rwkv6->wkv, table.rwkv5->wkv); }

// exp(-exp(z)): the inner relative error of 1e-6 counts e^z <= 17 times where the result is above e^-17.
TEST_P(WkvKernel, Version6DecayIsBetweenZeroAndOneForAllInputs) {
  std::vector<float> z;
  for (int i = -200; i <= 50; ++i) z.push_back(0.1f * static_cast<float>(i));
  z.insert(z.end(), {-1e4f, 1e4f, -104.0f, 88.0f, 89.5f});
  auto w = z;
  table.rwkv6->decay(device, rows(w, static_cast<std::int64_t>(w.size())));
  for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(w[i], std::exp(-std::exp(double(z[i]))), 1e-6) << z[i];
}

TEST_P(WkvKernel, Version6DecayKeepsNan) {
  std::vector<float> z(37, 0.5f);
  z[3] = z[36] = kNan;
  table.rwkv6->decay(device, rows(z, 37));
  for (int i = 0; i < 37; ++i) EXPECT_EQ(std::isnan(z[i]), i == 3 || i == 36) << i;
}

RWKV_EVERY_INSTRUCTION_SET(WkvKernel);

}  // namespace
}  // namespace rwkv::test
