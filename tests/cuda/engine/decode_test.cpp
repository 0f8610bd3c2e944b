// SPDX-License-Identifier: Apache-2.0
// Decode steps: recorded and replayed they are those that run kernel by kernel, to the last bit. The latter are the first ones
// of models loaded for the purpose.
#include <thread>

#include "cuda/engine/engine.h"
#include "kernels/cuda/devices.h"

namespace rwkv::test {
namespace {

struct StepResult {
  std::vector<float> logits;                            // [n_seq, n_vocab]
  std::vector<std::vector<std::vector<float>>> states;  // of each sequence
  bool operator==(const StepResult&) const = default;
};

std::vector<std::vector<std::vector<float>>> values_of(std::span<State* const> states) {
  std::vector<std::vector<std::vector<float>>> all;
  for (const State* state : states) all.push_back(values(*state));
  return all;
}

StepResult step(const Model& model, std::span<State* const> states, std::span<const Token> tokens) {
  const std::size_t n_vocab = model.config().n_vocab;
  StepResult result{std::vector<float>(states.size() * n_vocab, NAN), {}};
  std::vector<Sequence> batch;
  for (std::size_t i = 0; i < states.size(); ++i) {
    batch.push_back({tokens.subspan(i, 1), states[i], std::span(result.logits).subspan(i * n_vocab, n_vocab)});
  }
  model.forward(batch);
  result.states = values_of(states);
  return result;
}

class CudaDecode : public testing::TestWithParam<VersionModel> {
 protected:
  void SetUp() override {
    RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version);
    tokens = load_golden(GetParam().file).tokens;
  }
  // With the type of weights, on the first card and wherever else.
  [[nodiscard]] Model load(const std::string& type) const { return Model(model_file(GetParam().file), "cuda " + type); }

  // The same step as the first one of a new model.
  StepResult eager(const std::string& type, std::span<State* const> states, std::span<const Token> fed) const {
    const Model fresh = load(type);
    std::vector<State> copies(states.size(), fresh.new_state());
    std::vector<State*> pointers;
    for (std::size_t i = 0; i < states.size(); ++i) {
      copies[i].assign(states[i]->arrays());
      pointers.push_back(&copies[i]);
    }
    return step(fresh, pointers, fed);
  }

  std::vector<Token> tokens;
};

TEST_P(CudaDecode, ReplayedStepsEqualThoseOfANewModel) {
  std::vector<std::string> types{"fp32", "fp16", "bf16", "fp16i8", "fp16i4", "fp16 *1 -> cpu fp32 *1 -> cuda fp16"};
  if (cuda::find_devices().n_device > 1) types.push_back("fp16 *1 -> cuda:1 fp16 *1 -> cuda fp16 *1 -> cuda:1 fp16");
  for (const std::string& type : types) {
    const Model model = load(type);
    for (const std::size_t n_seq : {1, 2, 5}) {
      std::vector<State> all(n_seq, model.new_state());
      std::vector<State*> states;
      for (State& state : all) states.push_back(&state);
      step(model, states, std::span(tokens).last(n_seq));
      for (std::size_t n = 0; n < 2; ++n) {  // recorded, and replayed again
        const auto fed = std::span(tokens).subspan(n * n_seq, n_seq);
        const StepResult expected = eager(type, states, fed);
        EXPECT_TRUE(step(model, states, fed) == expected) << type << ", " << n_seq << " sequences, step " << n;
      }
    }
  }
}

// Batches grow and shrink, take other states in another order, and prompts that need more memory come between.
TEST_P(CudaDecode, AnyStatesInBatchesOfAnySize) {
  const Model model = load("fp16");
  std::vector<State> pool(6, model.new_state());
  std::size_t at = 0;
  for (const std::size_t n_seq : {1, 1, 1, 5, 5, 2, 5, 0, 1, 2, 2, 0, 5, 1, 3, 2, 3, 3}) {
    if (n_seq == 0) {
      model.forward(std::span(tokens).first(40), pool[at % 6], {});
      continue;
    }
    std::vector<State*> states;
    for (std::size_t i = 0; i < n_seq; ++i) states.push_back(&pool[(at + 5 * i) % 6]);
    const auto fed = std::span(tokens).subspan(at, n_seq);
    const StepResult expected = eager("fp16", states, fed);
    EXPECT_TRUE(step(model, states, fed) == expected) << n_seq << " sequences, at " << at;
    ++at;
  }
}

TEST_P(CudaDecode, StepsWithoutLogitsGiveTheSameStates) {
  const Model model = load("fp16"), other = load("fp16");
  State without = model.new_state(), with = model.new_state(), expected = other.new_state();
  for (std::size_t n = 0; n < 6; ++n) model.forward(std::span(tokens).subspan(n, 1), without, {});
  const auto logits = feed(model, with, std::span(tokens).first(6), {1});
  EXPECT_EQ(logits, feed(other, expected, std::span(tokens).first(6), {1}));
  EXPECT_TRUE(with == without);
  EXPECT_EQ(with, expected);
  EXPECT_EQ(without.tokens_seen(), 6);
}

TEST_P(CudaDecode, StepsWithLogitsForSomeGiveThemThoseOfAll) {
  const Model model = load("fp16"), other = load("fp16");
  const std::size_t n_vocab = model.config().n_vocab;
  std::vector<State> states(3, model.new_state()), of_all(3, other.new_state());
  for (std::size_t n = 0; n < 8; ++n) {
    const std::size_t without = n % 3;
    const auto run = [&](const Model& on, std::vector<State>& of, bool all) {
      std::vector<float> logits(3 * n_vocab);
      std::vector<Sequence> batch;
      for (std::size_t i = 0; i < 3; ++i) {
        const std::size_t n_logits = all || i != without ? n_vocab : 0;
        batch.push_back({std::span(tokens).subspan(n + i, 1), &of[i], std::span(logits).subspan(i * n_vocab, n_logits)});
      }
      on.forward(batch);
      return logits;
    };
    auto expected = run(other, of_all, true);
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(without * n_vocab), n_vocab, 0.0f);
    EXPECT_EQ(run(model, states, false), expected) << n;
  }
  EXPECT_EQ(states, of_all);
}

TEST_P(CudaDecode, ThreadsDecodeOnOneModel) {
  const Model model = load("fp16");
  const auto run = [&](std::size_t i) {
    State state = model.new_state();
    return feed(model, state, std::span(tokens).subspan(i, 12), {1});
  };
  const std::vector<std::vector<float>> expected{run(0), run(1), run(2)};
  std::vector<std::vector<float>> found(3);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 3; ++i) threads.emplace_back([&, i] { found[i] = run(i); });
  }
  EXPECT_EQ(found, expected);
}

// The same device, with streams and graphs of its own for each.
TEST_P(CudaDecode, ModelsTakeTurns) {
  const Model a = load("fp16"), b = load("bf16");
  State of_a = a.new_state(), of_b = b.new_state();
  std::vector<float> logits_a, logits_b;
  for (std::size_t n = 0; n < 6; ++n) {
    const auto fed = std::span(tokens).subspan(n, 1);
    for (const float x : feed(a, of_a, fed, {1})) logits_a.push_back(x);
    for (const float x : feed(b, of_b, fed, {1})) logits_b.push_back(x);
  }
  State alone_a = a.new_state(), alone_b = b.new_state();
  EXPECT_EQ(feed(a, alone_a, std::span(tokens).first(6), {1}), logits_a);
  EXPECT_EQ(feed(b, alone_b, std::span(tokens).first(6), {1}), logits_b);
  EXPECT_TRUE(of_a == alone_a && of_b == alone_b);
}

INSTANTIATE_TEST_SUITE_P(Each, CudaDecode, testing::ValuesIn(kVersionModels), version_name);

// So many sequences that the call is a long one, by weights times tokens.
TEST(CudaDecodePoll, IsAskedOnceBeforeAnythingChanges) {
  RWKV_SKIP_UNLESS_CUDA_RUNS(7);
  const Model model(model_file("random-v7"), "cuda fp32");
  const auto n_seq = static_cast<std::size_t>((std::int64_t{1} << 26) / model.weight_bytes() + 1);
  std::vector<State> states(n_seq, model.new_state());
  const std::vector<Token> tokens(n_seq, 5);
  std::vector<Sequence> batch;
  for (std::size_t i = 0; i < n_seq; ++i) batch.push_back({std::span(tokens).subspan(i, 1), &states[i], {}});
  struct Stop {};
  const State before = states[0];
  for (std::int64_t n = 1; n <= 3; ++n) {
    EXPECT_THROW(model.forward(batch, [] { throw Stop(); }), Stop);
    EXPECT_EQ(states[0].tokens_seen(), n - 1);
    EXPECT_EQ(states[0] == before, n == 1);
    int polls = 0;
    model.forward(batch, [&] { ++polls; });
    EXPECT_EQ(polls, 1);
    EXPECT_EQ(states[0].tokens_seen(), n);
    EXPECT_EQ(states[0], states[n_seq - 1]);
  }
  EXPECT_FALSE(states[0] == before);
}

}  // namespace
}  // namespace rwkv::test
