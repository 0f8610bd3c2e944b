// SPDX-License-Identifier: Apache-2.0
// States and batches on a CUDA device: moved to the CPU and back, packed in any way, used by several threads.
#include <thread>

#include "cuda/engine/engine.h"

namespace rwkv::test {
namespace {

// The same sums in another order, as for the golden files.
constexpr double kLogits = 5e-5, kState = 1e-4;
// Of texts that begin in the middle of the golden one: single tokens of random-v6 have heads that are almost constant, where
// the head norm makes small errors large. The CPU differs from itself by 6.5e-5 there.
constexpr double kFirstTokens = 2e-4;

class CudaState : public testing::TestWithParam<VersionModel> {
 protected:
  void SetUp() override {
    RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version);
    tokens = load_golden(GetParam().file).tokens;
  }
  [[nodiscard]] Model load(const char* strategy) const { return Model(model_file(GetParam().file), strategy); }

  std::vector<Token> tokens;
};

TEST_P(CudaState, IsCarriedToTheCpuAndBackInTheMiddleOfAText) {
  const Model cuda = load("cuda fp32"), cpu = load("cpu fp32");
  const std::span<const Token> all(tokens);
  State alone = cpu.new_state();
  const auto expected = feed(cpu, alone, all, {4});
  State here = cuda.new_state(), there = cpu.new_state();
  feed(cuda, here, all.first(8), {4});
  there.assign(here.arrays());
  feed(cpu, there, all.subspan(8, 4), {4});
  here.assign(there.arrays());
  const auto logits = feed(cuda, here, all.subspan(12), {4});
  EXPECT_LE(max_difference(logits, std::span(expected).last(logits.size())), kLogits);
  EXPECT_LE(state_difference(here, values(alone)), kState);
}

TEST_P(CudaState, CopiesAreIndependentAndEqualUntilTheyAreUsed) {
  const Model model = load("cuda fp32");
  State a = model.new_state();
  feed(model, a, std::span(tokens).first(3), {3});
  const State before = a;
  State b = a;
  EXPECT_EQ(a, b);
  feed(model, b, std::span(tokens).subspan(3, 2), {1});
  EXPECT_EQ(a, before);
  EXPECT_FALSE(a == b);
}

TEST_P(CudaState, SaysThatItsArraysCannotBeViewedWhereTheyLie) {
  const Model model = load("cuda fp32");
  EXPECT_THROW(static_cast<void>(model.new_state().views()), DeviceError);
}

// The arrays are read after the model is gone.
TEST_P(CudaState, OutlivesItsModel) {
  auto model = std::make_unique<Model>(model_file(GetParam().file), "cuda fp32");
  State state = model->new_state();
  feed(*model, state, std::span(tokens).first(3), {3});
  const auto before = values(state);
  model.reset();
  EXPECT_EQ(values(state), before);
}

TEST_P(CudaState, RaggedSequencesEqualEachSequenceAlone) {
  const Model model = load("cuda fp32");
  const std::size_t n_vocab = model.config().n_vocab, lengths[] = {3, 11, 1, 6};
  std::vector<State> states(4, model.new_state());
  std::vector<std::vector<float>> logits(4, std::vector<float>(n_vocab, NAN));
  std::vector<Sequence> batch;
  for (std::size_t s = 0; s < 4; ++s) batch.push_back({std::span(tokens).subspan(s, lengths[s]), &states[s], logits[s]});
  model.forward(batch);
  for (std::size_t s = 0; s < 4; ++s) {
    State alone = model.new_state();
    const auto expected = feed(model, alone, std::span(tokens).subspan(s, lengths[s]), {1});
    EXPECT_LE(max_difference(logits[s], std::span(expected).last(n_vocab)), kFirstTokens) << s;
    EXPECT_LE(state_difference(states[s], values(alone)), kState) << s;
  }
}

TEST_P(CudaState, ThreadsShareAModel) {
  const Model model = load("cuda fp32");
  const auto run = [&](std::size_t i) {
    State state = model.new_state();
    return feed(model, state, std::span(tokens).subspan(i, 8), {1, 5, 2});
  };
  std::vector<std::vector<float>> found(3);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 3; ++i) threads.emplace_back([&, i] { found[i] = run(i); });
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(found[i], run(i)) << i;  // the same launches
}

INSTANTIATE_TEST_SUITE_P(Each, CudaState, testing::ValuesIn(kVersionModels), version_name);

}  // namespace
}  // namespace rwkv::test
