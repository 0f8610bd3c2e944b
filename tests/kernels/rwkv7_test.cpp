// SPDX-License-Identifier: Apache-2.0
// The three steps of RWKV-7 between its matrices against double-precision loops (spec 2.4).
#include "kernels/kernel_testing.h"
#include "kernels/plain_rwkv7.h"

namespace rwkv::test {
namespace {

using Rwkv7Kernel = EveryInstructionSet;

TEST_P(Rwkv7Kernel, PrepareEqualsPlainLoops) {
  for (const std::int64_t size : {1, 3, 8, 20, 64}) {
    for (const bool first_layer : {false, true}) {
      const PrepareInputs start(3, size);
      PrepareInputs in = start;
      table.rwkv7->prepare(device, in.op(first_layer));
      ASSERT_NO_FATAL_FAILURE(expect_prepared(in, start, first_layer)) << size;
    }
  }
}

TEST_P(Rwkv7Kernel, PrepareOfAZeroKeyGivesAZeroRemovalKey) {
  PrepareInputs in(2, 20);
  std::fill_n(in.k.begin() + 20, 20, 0.0f);  // head 1 of row 0
  table.rwkv7->prepare(device, in.op(true));
  for (int i = 0; i < 40; ++i) EXPECT_EQ(in.kk[i] == 0.0f, i >= 20) << i;
}

TEST_P(Rwkv7Kernel, PrepareKeepsNanOfEveryInput) {
  PrepareInputs in(2, 20);
  in.w[5] = in.v[46] = in.a[87] = in.k[20] = kNan;
  table.rwkv7->prepare(device, in.op(false));
  for (int i = 0; i < 160; ++i) {
    EXPECT_EQ(std::isnan(in.w[i]), i == 5) << i;
    EXPECT_EQ(std::isnan(in.v[i]), i == 46) << i;
    EXPECT_EQ(std::isnan(in.kk[i]), i >= 20 && i < 40) << i;
    EXPECT_EQ(std::isnan(in.a[i]), i == 87 || (i >= 20 && i < 40)) << i;
    EXPECT_EQ(std::isnan(in.k[i]), i == 20 || i == 87) << i;
  }
}

TEST_P(Rwkv7Kernel, WkvEqualsPlainLoops) {
  for (const std::int64_t size : {1, 8, 20, 64}) {
    WkvInputs in(3, size);
    const auto start = in.ragged.arrays[0];
    table.rwkv7->wkv(device, in.ragged.batch(), in.op);
    ASSERT_NO_FATAL_FAILURE(expect_wkv7(in, start)) << size;
  }
}

// Lengths around the number of tokens that are worked on together (16), heads with and without a rest beside whole vectors,
// decays at both ends of what a model can have: exp(-exp(-0.5)) = 0.5452 and 1. Without decay 100 tokens make a state of size
// 10, from 1,000 operations whose roundings partly cancel.
TEST_P(Rwkv7Kernel, WkvOfManyTokensEqualsPlainLoops) {
  enum Decay { any, strongest, none };
  for (const Decay decay : {any, strongest, none}) {
    for (const std::int64_t size : {1, 3, 8, 20, 64, 84, 128, 132}) {
      WkvInputs in(2, size, {1, 2, 15, 16, 17, 31, 33, 100});
      make_contracting(in);
      if (decay != any) std::ranges::fill(in.w, decay == none ? 1.0f : 0.5452f);
      const auto start = in.ragged.arrays[0];
      table.rwkv7->wkv(device, in.ragged.batch(), in.op);
      ASSERT_NO_FATAL_FAILURE(expect_wkv7(in, start, (decay == none ? 5 : 2) * kTolerance7)) << size << " decay " << decay;
    }
  }
}

TEST_P(Rwkv7Kernel, WkvOfManyTokensPassesNanOnFromItsRow) {
  WkvInputs in(2, 20, {40, 3});
  in.k[21 * 40 + 20 + 7] = kNan;  // a key of head 1 in row 21, in the middle of tokens that are worked on together
  std::ranges::fill(in.out, 1.0f);
  table.rwkv7->wkv(device, in.ragged.batch(), in.op);
  for (int i = 0; i < 43 * 40; ++i) EXPECT_EQ(std::isnan(in.out[i]), i / 40 >= 21 && i / 40 < 40 && i % 40 >= 20) << i;
}

TEST_P(Rwkv7Kernel, WkvPassesNanOnInItsHead) {
  WkvInputs in(2, 20);
  in.k[4 * 40 + 20 + 7] = kNan;  // a key of head 1 in the first row of the third sequence
  std::ranges::fill(in.out, 1.0f);
  table.rwkv7->wkv(device, in.ragged.batch(), in.op);
  for (int i = 0; i < 9 * 40; ++i) EXPECT_EQ(std::isnan(in.out[i]), i / 40 >= 4 && i % 40 >= 20) << i;
}

TEST_P(Rwkv7Kernel, OutputEqualsPlainLoops) {
  for (const std::int64_t size : {1, 3, 8, 20, 64}) {
    const OutputInputs in(3, size);
    table.rwkv7->output(device, in.op(in.out));
    ASSERT_NO_FATAL_FAILURE(expect_near(in.out, in.expected(), kTolerance7, 1e-6)) << size;
  }
}

TEST_P(Rwkv7Kernel, OutputMayWriteOverItsInput) {
  OutputInputs in(2, 20);
  const auto expected = in.expected();
  table.rwkv7->output(device, in.op(in.y));
  expect_near(in.y, expected, kTolerance7, 1e-6);
}

TEST_P(Rwkv7Kernel, OutputKeepsNanInItsHead) {
  OutputInputs in(2, 20);
  in.y[25] = kNan;
  std::ranges::fill(in.out, 1.0f);
  table.rwkv7->output(device, in.op(in.out));
  for (int i = 0; i < 120; ++i) EXPECT_EQ(std::isnan(in.out[i]), i >= 20 && i < 40) << i;
}

RWKV_EVERY_INSTRUCTION_SET(Rwkv7Kernel);

}  // namespace
}  // namespace rwkv::test
