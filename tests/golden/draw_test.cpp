// SPDX-License-Identifier: Apache-2.0
// Forwards that draw: the tokens that samplers draw from the logits, for many sequences at once; what is refused and reported.
#include <rwkv/sampler.h>

#include <stdexcept>

#include "golden/golden.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

const std::vector<SamplingOptions> kOptions = {{.seed = 1},
                                               {.temperature = 0.0f, .seed = 2},
                                               {.temperature = 1.5f, .top_p = 1.0f, .token_ban = {3, 50, 3}, .seed = 3},
                                               {.top_k = 4, .min_p = 0.01f, .alpha_presence = -1.0, .seed = 4},
                                               {.temperature = 0.7f, .top_p = 0.5f, .alpha_frequency = 2.0, .seed = 5}};

class Drawing : public testing::Test {
 protected:
  Drawing() : model_(MadeCheckpoint(7).write("drawing"), "cpu fp32", {.threads = 2}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) tokens_[i] = static_cast<Token>(i * 7 % 51);
  }
  // Of sequence i, with a token counted three times.
  static Sampler sampler(std::size_t i) {
    Sampler made(kOptions[i]);
    for (int n = 0; n < 3; ++n) made.accept(static_cast<Token>(3 + i), true);
    return made;
  }

  Model model_;
  std::vector<Token> tokens_ = std::vector<Token>(400);
};

TEST_F(Drawing, GivesTheTokensThatSamplersDrawFromTheLogits) {
  const std::size_t lengths[] = {1, 300, 2, 40, 7}, n_vocab = model_.config().n_vocab;  // in several rounds
  std::vector<State> states(5, model_.new_state()), alone = states;
  std::vector<Sampler> samplers, same;
  for (std::size_t i = 0; i < 5; ++i) samplers.push_back(sampler(i)), same.push_back(sampler(i));
  for (int step = 0; step < 4; ++step) {
    std::vector<Token> drawn(5, -7);
    std::vector<Sequence> batch;
    for (std::size_t i = 0; i < 5; ++i) {
      const auto tokens = std::span(tokens_).subspan(i, lengths[i]);
      batch.push_back({.tokens = tokens, .state = &states[i], .sampler = &samplers[i], .drawn = &drawn[i]});
    }
    model_.forward(batch);
    for (std::size_t i = 0; i < 5; ++i) {
      std::vector<float> logits(n_vocab);
      model_.forward(batch[i].tokens, alone[i], logits);
      EXPECT_EQ(drawn[i], same[i].sample(logits)) << i;
      samplers[i].accept(drawn[i], true), same[i].accept(drawn[i], true);
    }
  }
}

TEST_F(Drawing, LeavesTheLogitsThatAreAskedForAsTheyAre) {
  const std::size_t n_vocab = model_.config().n_vocab;
  for (const std::size_t rows : {1, 5}) {
    std::vector<float> logits(rows * n_vocab), plain(rows * n_vocab);
    State state = model_.new_state(), other = state;
    Sampler s = sampler(2);
    Token drawn = -7;
    const Sequence sequence{std::span(tokens_).first(5), &state, logits, &s, &drawn};
    model_.forward({&sequence, 1});
    model_.forward(sequence.tokens, other, plain);
    EXPECT_EQ(logits, plain);
    EXPECT_GE(drawn, 0);
  }
}

TEST_F(Drawing, IsRefusedBeforeAnythingChanges) {
  State a = model_.new_state(), b = a;
  const State before = a;
  Sampler s = sampler(0), outside({.token_ban = {51}}), counted;
  counted.accept(1000, true);
  Token drawn = 0;
  const auto tokens = std::span(tokens_).first(2);
  const auto forward = [&](std::vector<Sequence> batch) { model_.forward(batch); };
  EXPECT_THROW(forward({{.tokens = tokens, .state = &a, .sampler = &s}}), ArgumentError);
  EXPECT_THROW(forward({{.tokens = tokens, .state = &a, .sampler = &outside, .drawn = &drawn}}), TokenError);
  EXPECT_THROW(forward({{.tokens = tokens, .state = &a, .sampler = &counted, .drawn = &drawn}}), TokenError);
  EXPECT_THROW(forward({{.tokens = tokens, .state = &a, .sampler = &s, .drawn = &drawn},
                        {.tokens = tokens, .state = &b, .sampler = &s, .drawn = &drawn}}),
               ArgumentError);
  EXPECT_TRUE(a == before && b == before);
}

// In the middle of a batch; the others are drawn, all states are advanced, and the sampler has used no random number.
TEST_F(Drawing, BrokenLogitsAreReportedAfterAllElse) {
  std::vector<State> states(3, model_.new_state());
  auto arrays = states[1].arrays();
  arrays[0].values[0] = NAN;
  states[1].assign(arrays);
  std::vector<Sampler> samplers{sampler(0), sampler(1), sampler(3)};
  std::vector<Token> drawn(3, -7);
  std::vector<Sequence> batch;
  for (std::size_t i = 0; i < 3; ++i) {
    batch.push_back({.tokens = std::span(tokens_).first(2), .state = &states[i], .sampler = &samplers[i], .drawn = &drawn[i]});
  }
  EXPECT_EQ(message_of<NumericError>([&] { model_.forward(batch); }), "sequence 1: the logit of token 0 is NaN");
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(states[i].tokens_seen(), 2);
    EXPECT_EQ(drawn[i] < 0, i == 1);
  }
  const std::vector<float> flat(51);
  auto x = flat, y = flat;
  EXPECT_EQ(samplers[1].sample(x), sampler(1).sample(y));
}

TEST_F(Drawing, APollThatEndsTheCallPutsSamplersBack) {
  struct Stop : std::runtime_error {
    Stop() : std::runtime_error("stop") {}
  };
  std::vector<Token> many(2000, 1);  // above the limit of short calls
  State state = model_.new_state(), other = state;
  Sampler s({.temperature = 1.0f, .top_p = 1.0f, .seed = 9}), same = s;
  Token drawn = 0, later = 0;
  const Sequence batch[] = {{.tokens = std::span(tokens_).first(1), .state = &other, .sampler = &s, .drawn = &drawn},
                            {.tokens = many, .state = &state}};
  int polls = 0;
  EXPECT_THROW(model_.forward(batch,
                              [&] {
                                if (++polls == 60) throw Stop();  // in a later round
                              }),
               Stop);
  EXPECT_EQ(polls, 60);
  EXPECT_EQ(other.tokens_seen(), 0);
  std::vector<float> flat(51), again(51);
  later = s.sample(flat);
  EXPECT_EQ(later, same.sample(again));
}

}  // namespace
}  // namespace rwkv::test
