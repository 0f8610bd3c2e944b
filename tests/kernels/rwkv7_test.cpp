// SPDX-License-Identifier: Apache-2.0
// RWKV-7 between its matrices against double-precision loops (spec 2.4).
#include "kernels/kernel_testing.h"
#include "kernels/plain_rwkv7.h"

namespace rwkv::test {
namespace {

class Rwkv7Kernel : public EveryInstructionSet {
 protected:
  void run(DeltaRuleInputs& in) { table.rwkv7->delta_rule(device, in.ragged.batch(), in.op()); }

  void expect_plain(DeltaRuleInputs& in, double tolerance = 2 * kTolerance7) {
    const DeltaRuleInputs start = in;
    run(in);
    ASSERT_NO_FATAL_FAILURE(expect_delta_rule(in, start, tolerance)) << "heads of " << in.size;
  }
};

TEST_P(Rwkv7Kernel, FewTokensEqualPlainLoops) {
  for (const std::int64_t size : {1, 3, 8, 20, 64}) {
    for (const bool first_layer : {false, true}) {
      DeltaRuleInputs in(3, size, {3, 1, 2}, first_layer);
      ASSERT_NO_FATAL_FAILURE(expect_plain(in));
    }
  }
}

TEST_P(Rwkv7Kernel, OneTokenOfEachSequenceEqualsPlainLoops) {
  DeltaRuleInputs in(5, 20, {1, 0, 1, 1});
  ASSERT_NO_FATAL_FAILURE(expect_plain(in));
}

// Lengths around the number of tokens that are worked on together (16), heads with and without a rest beside whole vectors,
// decays at both ends of what a model can have: exp(-exp(-0.5)) = 0.5452 and 1. Without decay 100 tokens make a state of size
// 10, from 1,000 operations whose roundings partly cancel.
TEST_P(Rwkv7Kernel, ManyTokensEqualPlainLoops) {
  enum Decay { any, strongest, none };
  for (const Decay decay : {any, strongest, none}) {
    for (const std::int64_t size : {1, 3, 8, 20, 64, 84, 128, 132}) {
      DeltaRuleInputs in(2, size, {1, 2, 15, 16, 17, 31, 33, 100}, decay == none);
      if (decay != any) std::ranges::fill(in.w, decay == none ? 0.0f : 1.0f);
      ASSERT_NO_FATAL_FAILURE(expect_plain(in, (decay == none ? 5 : 2) * kTolerance7)) << "decay " << decay;
    }
  }
}

TEST_P(Rwkv7Kernel, AZeroKeyRemovesNothing) {
  for (const int length : {1, 20}) {
    DeltaRuleInputs in(2, 20, {length});
    std::fill_n(in.k.begin() + 20, 20, 0.0f);  // head 1 of row 0
    ASSERT_NO_FATAL_FAILURE(expect_plain(in));
  }
}

// Whatever enters the state stays in its head; what does not, in its row.
TEST_P(Rwkv7Kernel, NanComesOutOfItsHeadFromItsRow) {
  for (const int length : {3, 40}) {
    using Input = std::vector<float> DeltaRuleInputs::*;
    for (const Input input : {&DeltaRuleInputs::w, &DeltaRuleInputs::k, &DeltaRuleInputs::v, &DeltaRuleInputs::a,
                              &DeltaRuleInputs::v_first, &DeltaRuleInputs::v_mix, &DeltaRuleInputs::r, &DeltaRuleInputs::g}) {
      DeltaRuleInputs in(2, 20, {length, 3});
      const int at = (length - 2) * 40 + 20 + 7;  // head 1 of the last row but one of the first sequence
      (in.*input)[at] = kNan;
      std::ranges::fill(in.out, 1.0f);
      run(in);
      for (int i = 0; i < (length + 3) * 40; ++i) {
        const bool in_row = i / 40 == at / 40 && i % 40 >= 20, in_next_row = i / 40 == at / 40 + 1 && i % 40 >= 20;
        const bool expected = input == &DeltaRuleInputs::g   ? i == at
                              : input == &DeltaRuleInputs::r ? in_row
                                                             : in_row || in_next_row;
        ASSERT_EQ(std::isnan(in.out[i]), expected) << "row " << i / 40 << " channel " << i % 40;
      }
    }
  }
}

RWKV_EVERY_INSTRUCTION_SET(Rwkv7Kernel);

}  // namespace
}  // namespace rwkv::test
