// SPDX-License-Identifier: Apache-2.0
// States and batches on a CUDA device: moved to the CPU and back, packed in any way, used by several threads.
#include "cuda/engine/engine.h"

namespace rwkv::test {
namespace {

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

// What was asked of the state's device, its values and copies of it, is done on another stream than this model's.
TEST_P(CudaState, IsUsedByAnotherModelOfTheSameWeights) {
  const Model model = load("cuda fp32"), other = load("cuda fp32");
  const std::span<const Token> text = std::span(tokens).first(9);
  State alone = model.new_state(), state = model.new_state();
  const auto found = feed(other, state, text, {4});
  EXPECT_EQ(found, feed(model, alone, text, {4}));
  EXPECT_EQ(state, alone);
  State copy = state;
  const auto of_copy = feed(other, copy, text, {1});
  EXPECT_EQ(of_copy, feed(model, alone, text, {1}));
  const std::vector<Token> long_text(300, 7);  // so long that it is polled
  const State before = state;
  int left = 5;
  const auto poll = [&] {
    if (left-- == 0) throw std::runtime_error("enough");
  };
  EXPECT_THROW(other.forward(long_text, state, {}, poll), std::runtime_error);
  EXPECT_EQ(left, -1);
  EXPECT_EQ(state, before);
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
  expect_ragged_like_alone(model, tokens);
}

TEST_P(CudaState, ThreadsShareAModel) {
  const Model model = load("cuda fp32");
  expect_same_from_threads(model, tokens);
}

INSTANTIATE_TEST_SUITE_P(Each, CudaState, testing::ValuesIn(kVersionModels), version_name);

}  // namespace
}  // namespace rwkv::test
