// SPDX-License-Identifier: Apache-2.0
// One state twice in one batch. Two calls at the same time meet the same check.
#include "golden/golden.h"

namespace rwkv::test {
namespace {

TEST(BusyState, TwiceInABatchIsRefusedAndTheStateCanBeUsedAfterwards) {
  const Model model(model_file("random-v7"), "cpu fp32", {.threads = 1});
  State state = model.new_state(), other = model.new_state();
  const std::vector<Token> tokens{1, 2, 3};
  const Sequence batch[] = {{tokens, &other, {}}, {tokens, &state, {}}, {tokens, &state, {}}};
  EXPECT_THROW(model.forward(batch), StateError);
  EXPECT_EQ(state.tokens_seen(), 0);
  EXPECT_EQ(other.tokens_seen(), 0);
  const Sequence apart[] = {{tokens, &other, {}}, {tokens, &state, {}}};
  model.forward(apart);
  EXPECT_EQ(state.tokens_seen(), 3);
  EXPECT_EQ(max_difference(state.arrays()[1].values, other.arrays()[1].values), 0.0);
}

}  // namespace
}  // namespace rwkv::test
