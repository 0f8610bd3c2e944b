// SPDX-License-Identifier: Apache-2.0
// Token shift over ragged batches against double-precision loops.
#include "kernels/kernel_testing.h"
#include "kernels/plain_token_shift.h"

namespace rwkv::test {
namespace {

using TokenShiftKernel = EveryInstructionSet;

TEST_P(TokenShiftKernel, MixesEachRowWithTheOneBeforeInItsSequence) {
  for (const std::int64_t n : {1, 7, 16, 33, 130, 513, 1100}) {
    Ragged ragged{1, 4, 1, 2};
    float* const* last_x = ragged.slot(n, 1);
    const auto before = ragged.arrays[0];
    const auto x = floats(8 * n, 10), mu0 = floats(n, 11), mu1 = floats(n, 12), row1 = floats(8 * n, 13);
    const auto out0 = nans(8 * n), out1 = nans(8 * n);
    const TokenShift::Output outputs[] = {{mu0.data(), const_cast<float*>(out0.data())},
                                          {mu1.data(), const_cast<float*>(out1.data()), row1.data()}};
    table.common.token_shift(device, ragged.batch(), {rows(x, n), last_x, outputs, true});
    ASSERT_NO_FATAL_FAILURE(expect_near(out0, plain_token_shift(ragged.offsets, x, n, mu0, nullptr, before), kTokenShift, 0))
        << n;
    ASSERT_NO_FATAL_FAILURE(
        expect_near(out1, plain_token_shift(ragged.offsets, x, n, mu1, row1.data(), before), 4 * kTokenShift, 0))
        << n;
  }
}

TEST_P(TokenShiftKernel, RemembersTheLastRowOfEachSequenceExactlyIfAsked) {
  for (const std::int64_t n : {5, 600}) {
    for (const bool remember : {false, true}) {
      Ragged ragged{2, 1, 3};
      float* const* last_x = ragged.slot(n, 2);
      const auto before = ragged.arrays[0];
      const auto x = floats(6 * n, 14), mu = floats(n, 15), out = nans(6 * n);
      const TokenShift::Output output{mu.data(), const_cast<float*>(out.data())};
      table.common.token_shift(device, ragged.batch(), {rows(x, n), last_x, {&output, 1}, remember});
      for (int s = 0; s < 3; ++s) {
        const auto* const row = x.data() + (ragged.offsets[s + 1] - 1) * n;
        const std::vector<float> expected = remember ? std::vector<float>(row, row + n) : before[s];
        EXPECT_EQ(ragged.arrays[0][s], expected) << "sequence " << s;
      }
    }
  }
}

TEST_P(TokenShiftKernel, NanTouchesItsOwnAndTheNextRowOfItsSequenceOnly) {
  const std::int64_t n = 21;
  Ragged ragged{3, 2};
  float* const* last_x = ragged.slot(n, 3);
  auto x = floats(5 * n, 16);
  x[n + 20] = kNan, x[2 * n + 3] = kNan;  // the second one is in the last row of the first sequence
  const auto mu = floats(n, 17);
  const std::vector<float> out(5 * n, 1.0f);
  const TokenShift::Output output{mu.data(), const_cast<float*>(out.data())};
  table.common.token_shift(device, ragged.batch(), {rows(x, n), last_x, {&output, 1}, true});
  for (int i = 0; i < 5 * n; ++i) {
    const bool expected = i == n + 20 || i == 2 * n + 20 || i == 2 * n + 3;
    EXPECT_EQ(std::isnan(out[i]), expected) << "row " << i / n << " channel " << i % n;
  }
}

RWKV_EVERY_INSTRUCTION_SET(TokenShiftKernel);

}  // namespace
}  // namespace rwkv::test
