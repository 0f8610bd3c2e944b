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
