// SPDX-License-Identifier: Apache-2.0
// Layers streamed to the card: the same launches as without, so the same results bit by bit.
#include <thread>

#include "cuda/engine/engine.h"

namespace rwkv::test {
namespace {

class CudaStreaming : public testing::TestWithParam<GoldenModel> {};

// Of the three blocks and the head some are streamed, all, or the head alone.
TEST_P(CudaStreaming, GivesTheGoldenLogits) {
  RWKV_SKIP_WITHOUT(model_file(std::string(GetParam().golden) + ".golden.json"));
  for (const char* strategy : {"cuda fp32 *1+", "cuda fp32 *0+", "cuda fp32 *3+"}) {
    expect_golden(GetParam(), strategy, {17, 1, 1, 29});
  }
}

INSTANTIATE_TEST_SUITE_P(Random, CudaStreaming, testing::ValuesIn(kGoldenModels), test_name);

class CudaStreamingOf : public testing::TestWithParam<VersionModel> {
 protected:
  [[nodiscard]] Model load(const char* strategy) const { return Model(model_file(GetParam().file), strategy); }
  const std::vector<Token> tokens = load_golden(GetParam().file).tokens;
};

TEST_P(CudaStreamingOf, EqualsResidentLayersForEveryTypeOfWeights) {
  for (const char* type : {"fp32", "fp16", "bf16i8", "fp16i4"}) {
    const std::string cuda = std::string("cuda ") + type;
    const std::vector<std::size_t> lengths = {2, 1, 1, 19};
    const Result expected = result_of(GetParam().file, cuda, tokens, lengths);
    const Result found = result_of(GetParam().file, cuda + " *1+", tokens, lengths);
    EXPECT_EQ(found.logits, expected.logits) << type;
    EXPECT_EQ(found.state, expected.state) << type;
  }
}

TEST_P(CudaStreamingOf, RaggedBatchesBesideTheCpuEqualSplitOnes) {
  const Model resident = load("cuda fp16 *3 -> cpu fp32 *1"), streamed = load("cuda fp16 *1+ -> cpu fp32 *1");
  const std::size_t n_vocab = resident.config().n_vocab, lengths[] = {3, 11, 1, 6};
  const auto run = [&](const Model& model) {
    std::vector<State> states(4, model.new_state());
    std::vector<std::vector<float>> logits(4, std::vector<float>(n_vocab, NAN));
    std::vector<Sequence> batch;
    for (std::size_t s = 0; s < 4; ++s) batch.push_back({std::span(tokens).subspan(s, lengths[s]), &states[s], logits[s]});
    model.forward(batch);
    model.forward(batch);
    return std::pair(logits, std::vector{values(states[0]), values(states[1]), values(states[2]), values(states[3])});
  };
  EXPECT_EQ(run(streamed), run(resident));
}

TEST_P(CudaStreamingOf, ThreadsShareAModel) {
  const Model model = load("cuda fp32 *0+");
  expect_same_from_threads(model, tokens);
}

// It ends between two layers: the areas hold others than a forward begins with.
TEST_P(CudaStreamingOf, GoesOnAfterAForwardThatEndedEarly) {
  const Model model = load("cuda fp32 *0+");
  const std::vector<Token> text(120, 7);  // enough to be polled
  State state = model.new_state(), alone = model.new_state();
  for (int after = 3; after < 12; after += 4) {
    int left = after;
    const auto poll = [&] {
      if (left-- == 0) throw std::runtime_error("enough");
    };
    EXPECT_THROW(model.forward(text, state, {}, poll), std::runtime_error);
    EXPECT_EQ(state, alone);
    EXPECT_EQ(feed(model, state, std::span(tokens).first(2), {1}), feed(model, alone, std::span(tokens).first(2), {1}));
  }
}

TEST_P(CudaStreamingOf, StatesAreSavedOnOnePlacementAndContinuedOnAnother) {
  const auto path = temporary_file("state");
  const Model before = load("cuda fp32 *1+"), after = load("cpu fp32 *1 -> cuda fp32 *1+");
  EXPECT_NE(before.placement().find("\ncuda fp32 streamed: blocks 1-2, head"), std::string::npos) << before.placement();
  State first = before.new_state(), alone = before.new_state();
  feed(before, first, std::span(tokens).first(6), {4});
  first.save(path);
  State second = State::load(path, after);
  EXPECT_EQ(values(second), values(first));
  const auto logits = feed(after, second, std::span(tokens).subspan(6), {4}), expected = feed(before, alone, tokens, {6, 4});
  EXPECT_LE(max_difference(logits, std::span(expected).last(logits.size())), kLogits);
  EXPECT_LE(state_difference(second, values(alone)), kState);
}

INSTANTIATE_TEST_SUITE_P(Each, CudaStreamingOf, testing::ValuesIn(kVersionModels), version_name);

}  // namespace
}  // namespace rwkv::test
