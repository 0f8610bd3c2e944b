// SPDX-License-Identifier: Apache-2.0
// Any packing of sequences into batches and calls gives what each sequence gives alone, token by token.
#include <random>
#include <thread>

#include "golden/golden.h"

namespace rwkv::test {
namespace {

// The same sums in another order: float32 rounding of logits of size 6, as for the golden files; measured below 2e-5.
constexpr double kLogits = 5e-5, kState = 1e-4;
constexpr const char* kFiles[] = {"random-v4", "random-v5.0", "random-v5.1", "random-v5.2", "random-v6", "random-v7"};

std::vector<Token> random_tokens(std::size_t n, std::uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<Token> tokens(n);
  for (Token& t : tokens) t = static_cast<Token>(rng() % 97);
  return tokens;
}

std::vector<std::vector<float>> values(const State& state) {
  std::vector<std::vector<float>> all;
  for (auto& array : state.arrays()) all.push_back(std::move(array.values));
  return all;
}

// 3 + 270 + 41 + 1 rows: more than one internal round of 256, which cuts the second sequence.
TEST(Batch, RaggedSequencesEqualEachSequenceAlone) {
  for (const char* file : kFiles) {
    const Model model(model_file(file), "cpu fp32");
    const std::size_t n_vocab = model.config().n_vocab, lengths[] = {3, 270, 41, 1}, wanted[] = {3, 1, 0, 1};
    std::vector<std::vector<Token>> tokens;
    std::vector<State> states(4, model.new_state());
    std::vector<std::vector<float>> logits;
    std::vector<Sequence> batch;
    for (std::uint32_t s = 0; s < 4; ++s) {
      tokens.push_back(random_tokens(lengths[s], s + 1));
      logits.emplace_back(wanted[s] * n_vocab, NAN);
    }
    for (std::size_t s = 0; s < 4; ++s) batch.push_back({tokens[s], &states[s], logits[s]});
    model.forward(batch);
    for (std::size_t s = 0; s < 4; ++s) {
      State alone = model.new_state();
      const auto expected = feed(model, alone, tokens[s], {1});
      EXPECT_LE(max_difference(logits[s], std::span(expected).last(logits[s].size())), kLogits) << file << " " << s;
      EXPECT_LE(state_difference(states[s], values(alone)), kState) << file << " " << s;
      EXPECT_EQ(states[s].tokens_seen(), static_cast<std::int64_t>(lengths[s]));
    }
  }
}

TEST(Batch, ThreadsWithTheirOwnStatesGetTheSerialResultBitByBit) {
  for (const char* file : {"random-v4", "random-v6", "random-v7"}) {
    const Model model(model_file(file), "cpu fp32");
    std::vector<std::vector<float>> found(4), expected;
    for (std::uint32_t i = 0; i < 4; ++i) {
      State state = model.new_state();
      expected.push_back(feed(model, state, random_tokens(40, i), {1, 7, 3}));
    }
    {
      std::vector<std::jthread> threads;
      for (std::uint32_t i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
          State state = model.new_state();
          found[i] = feed(model, state, random_tokens(40, i), {1, 7, 3});
        });
      }
    }
    EXPECT_EQ(found, expected) << file;
  }
}

TEST(Batch, RefusedBatchLeavesEveryStateAsItWas) {
  const Model model(model_file("random-v7"), "cpu fp32");
  State a = model.new_state(), b = a, none;
  const std::vector<Token> good{1, 2}, negative{3, -1}, large{97}, empty;
  std::vector<float> wrong(5);
  EXPECT_THROW(model.forward(std::vector<Sequence>{{good, &a, {}}, {negative, &b, {}}}), TokenError);
  EXPECT_THROW(model.forward(std::vector<Sequence>{{good, &a, {}}, {large, &b, {}}}), TokenError);
  EXPECT_THROW(model.forward(std::vector<Sequence>{{good, &a, {}}, {empty, &b, {}}}), TokenError);
  EXPECT_THROW(model.forward(std::vector<Sequence>{{good, &a, {}}, {good, &b, wrong}}), ArgumentError);
  EXPECT_THROW(model.forward(std::vector<Sequence>{{good, &a, {}}, {good, &a, {}}}), StateError);
  EXPECT_THROW(model.forward(std::vector<Sequence>{{good, &a, {}}, {good, &none, {}}}), StateError);
  State other = Model(model_file("random-v6"), "cpu fp32").new_state();
  EXPECT_THROW(model.forward(std::vector<Sequence>{{good, &a, {}}, {good, &other, {}}}), StateError);
  EXPECT_EQ(values(a), values(model.new_state()));
  EXPECT_EQ(values(b), values(model.new_state()));
  EXPECT_EQ(a.tokens_seen(), 0);
}

}  // namespace
}  // namespace rwkv::test
