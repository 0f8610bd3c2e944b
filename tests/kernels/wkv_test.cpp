// SPDX-License-Identifier: Apache-2.0
// WKV of versions 4, 5 and 6 over ragged batches against double-precision loops (spec 2.1, 2.2, 2.3).
#include "kernels/kernel_testing.h"
#include "kernels/plain_wkv.h"

namespace rwkv::test {
namespace {

using WkvKernel = EveryInstructionSet;

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
