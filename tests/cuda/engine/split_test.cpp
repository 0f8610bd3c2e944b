// SPDX-License-Identifier: Apache-2.0
// Layers on two devices: the card and the CPU, in any order.
#include "cuda/engine/engine.h"

namespace rwkv::test {
namespace {

// Of the three blocks and the head of a golden model.
constexpr const char* kSplits[] = {"cuda fp32 *1 -> cpu fp32", "cpu fp32 *2 -> cuda fp32", "cuda fp32 *3 -> cpu fp32",
                                   "cpu fp32 *1 -> cuda fp32 *1 -> cpu fp32 *1 -> cuda fp32"};

class CudaSplit : public testing::TestWithParam<GoldenModel> {};

TEST_P(CudaSplit, GivesTheGoldenLogits) {
  RWKV_SKIP_WITHOUT(model_file(std::string(GetParam().golden) + ".golden.json"));
  for (const char* split : {kSplits[2], kSplits[3]}) expect_golden(GetParam(), split, {17, 1, 1, 5});
}

INSTANTIATE_TEST_SUITE_P(Random, CudaSplit, testing::ValuesIn(kGoldenModels), test_name);

class CudaSplitOf : public testing::TestWithParam<VersionModel> {
 protected:
  [[nodiscard]] Model load(const char* strategy) const { return Model(model_file(GetParam().file), strategy); }
  const std::vector<Token> tokens = load_golden(GetParam().file).tokens;
};

TEST_P(CudaSplitOf, RaggedSequencesEqualEachSequenceAlone) {
  const Model model = load(kSplits[3]);
  expect_ragged_like_alone(model, tokens);
}

TEST_P(CudaSplitOf, StatesAreSavedOnOnePlacementAndContinuedOnAnother) {
  const auto path = temporary_file("state");
  const std::span<const Token> all(tokens);
  const Model before = load(kSplits[0]), after = load(kSplits[1]), cpu = load("cpu fp32");
  State first = before.new_state(), alone = cpu.new_state();
  EXPECT_EQ(first.bytes(), alone.bytes());
  feed(before, first, all.first(10), {4});
  first.save(path);
  State second = State::load(path, after);
  EXPECT_EQ(second.tokens_seen(), 10);
  EXPECT_EQ(values(second), values(first));
  const auto logits = feed(after, second, all.subspan(10), {4}), expected = feed(cpu, alone, all, {4});
  EXPECT_LE(max_difference(logits, std::span(expected).last(logits.size())), kLogits);
  EXPECT_LE(state_difference(second, values(alone)), kState);
}

TEST_P(CudaSplitOf, AreSaidByPlacementWithAllDevices) {
  const std::string cuda = load("cuda fp32").placement(), cpu = load("cpu fp32").placement();
  const auto name = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  EXPECT_EQ(load("cuda fp16 *1 -> cpu fp32 *1 -> cuda fp32").placement(),
            name(cuda) + ", " + name(cpu) + "\ncuda fp16: blocks 0-0\ncpu fp32: blocks 1-1\ncuda fp32: blocks 2-2, head");
}

INSTANTIATE_TEST_SUITE_P(Each, CudaSplitOf, testing::ValuesIn(kVersionModels), version_name);

}  // namespace
}  // namespace rwkv::test
