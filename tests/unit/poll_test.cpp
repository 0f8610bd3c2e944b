// SPDX-License-Identifier: Apache-2.0
// Long calls are polled often, and ended by what the poll throws; then the states are as they were.
#include <algorithm>
#include <stdexcept>

#include "golden/golden.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

struct Stop : std::runtime_error {
  Stop() : std::runtime_error("stop") {}
};

class PolledModel : public testing::TestWithParam<int> {
 protected:
  PolledModel() : model_(MadeCheckpoint(GetParam()).write("polled"), "cpu fp32", {.threads = 1}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) tokens_[i] = static_cast<Token>(i % 51);
  }

  Model model_;
  std::vector<Token> tokens_ = std::vector<Token>(2000);  // of 100 KB of weights each: above the limit of short calls
};

TEST_P(PolledModel, AnExceptionAtAnyPollPutsAllStatesBack) {
  State first = model_.new_state(), second = model_.new_state();
  model_.forward(std::vector<Token>{1, 2, 3}, first, {});
  const State first_before = first, second_before = second;
  const Sequence batch[] = {{tokens_, &first, {}}, {tokens_, &second, {}}};
  int polls = 0;
  State counted_first = first, counted_second = second;
  const Sequence counted[] = {{tokens_, &counted_first, {}}, {tokens_, &counted_second, {}}};
  model_.forward(counted, [&] { ++polls; });
  ASSERT_GT(polls, 16);  // 16 rounds of two layers with several products each
  for (const int last : {1, 2, 7, polls / 2, polls}) {
    int left = last;
    EXPECT_THROW(model_.forward(batch,
                                [&] {
                                  if (--left == 0) throw Stop();
                                }),
                 Stop);
    EXPECT_TRUE(first == first_before && second == second_before) << last;
    EXPECT_EQ(first.tokens_seen(), 3) << last;
    EXPECT_EQ(second.tokens_seen(), 0) << last;
  }
  model_.forward(batch);
  EXPECT_TRUE(first == counted_first && second == counted_second);
}

TEST_P(PolledModel, APollThatDoesNothingChangesNothing) {
  State a = model_.new_state(), b = model_.new_state();
  std::vector<float> polled(51 * tokens_.size()), plain(51 * tokens_.size());
  model_.forward(tokens_, a, polled, [] {});
  model_.forward(tokens_, b, plain);
  EXPECT_EQ(max_difference(polled, plain), 0.0);
  EXPECT_TRUE(a == b);
}

TEST_P(PolledModel, AShortCallIsNotPolled) {
  State state = model_.new_state();
  model_.forward(std::vector<Token>{1}, state, {}, [] { throw Stop(); });
  EXPECT_EQ(state.tokens_seen(), 1);
}

INSTANTIATE_TEST_SUITE_P(Versions, PolledModel, testing::Values(4, 5, 6, 7));

}  // namespace
}  // namespace rwkv::test
