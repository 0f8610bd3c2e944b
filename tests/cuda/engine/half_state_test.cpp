// SPDX-License-Identifier: Apache-2.0
// States of float16 on a CUDA device, beside a CPU whose state is rounded between two tokens.
#include <algorithm>
#include <cmath>

#include "cuda/device_slot.h"
#include "cuda/engine/engine.h"

namespace rwkv::test {
namespace {

bool is_matrix(const State::Array& array) { return array.shape.size() == 3; }

class CudaHalfState : public testing::TestWithParam<VersionModel> {
 protected:
  void SetUp() override {
    RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version);
    tokens = load_golden(GetParam().file).tokens;
  }
  [[nodiscard]] Model load(const char* strategy, bool half = true) const {
    return Model(model_file(GetParam().file), strategy, {.fp16_state = half});
  }
  static void expect_state_error(const Model& model, State state, const std::string& text) {
    try {
      const Token token = 1;
      model.forward({&token, 1}, state, {});
      ADD_FAILURE() << "no error: " << text;
    } catch (const StateError& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  }

  std::vector<Token> tokens;
};

// From the same state on each time. S differs in the numbers that the order of sums rounds to the other neighbour.
TEST_P(CudaHalfState, ATokenEqualsOneOfACpuWhoseStateIsThenRounded) {
  constexpr double kFirstTokens = 2e-4, kNeighbour = 0x1p-10, kState = 1e-5;
  const Model cuda = load("cuda fp32"), cpu = load("cpu fp32", false);
  const std::size_t n_vocab = cpu.config().n_vocab;
  State here = cuda.new_state(), there = cpu.new_state();
  std::vector<float> found(n_vocab), expected(n_vocab);
  std::int64_t n = 0, n_other = 0;
  for (const Token& token : tokens) {
    there.assign(here.arrays());
    cuda.forward({&token, 1}, here, found);
    cpu.forward({&token, 1}, there, expected);
    EXPECT_LE(max_difference(found, expected), kFirstTokens);
    const auto on_card = here.arrays(), on_cpu = there.arrays();
    for (std::size_t i = 0; i < on_card.size(); ++i) {
      if (!is_matrix(on_card[i])) continue;
      const auto rounded = halves({on_cpu[i].values}).front();
      for (std::size_t j = 0; j < rounded.size(); ++j, ++n) {
        const float x = on_card[i].values[j];
        if (x == rounded[j]) continue;
        ++n_other;
        ASSERT_LE(std::abs(x - rounded[j]), std::abs(rounded[j]) * kNeighbour + kState) << on_card[i].name << " " << j;
      }
    }
  }
  EXPECT_LE(static_cast<double>(n_other), 0.005 * static_cast<double>(n)) << n_other << " of " << n;
}

TEST_P(CudaHalfState, TakesHalfTheMemoryOfTheMatrices) {
  const Model model = load("cuda fp32");
  const State half = model.new_state(), whole = load("cuda fp32", false).new_state();
  EXPECT_EQ(model.state_bytes(), half.bytes());
  std::int64_t matrices = 0;
  for (const State::Array& array : whole.arrays()) matrices += is_matrix(array) ? std::ssize(array.values) : 0;
  EXPECT_EQ(whole.bytes() - half.bytes(), 2 * matrices);
}

TEST_P(CudaHalfState, IsSavedAndReadAsFloat32) {
  const Model cuda = load("cuda fp32"), split = load("cuda fp32 *1 -> cpu fp32"), cpu = load("cpu fp32", false);
  State state = cuda.new_state();
  feed(cuda, state, std::span(tokens).first(5), {2});
  const auto path = temporary_file("half.state");
  state.save(path);
  EXPECT_EQ(values(State::load(path, cuda)), values(state));
  EXPECT_EQ(values(State::load(path, split)), values(state));
  State on_cpu = State::load(path, cpu);
  EXPECT_EQ(values(on_cpu), values(state));
  EXPECT_EQ(on_cpu.tokens_seen(), 5);
  EXPECT_EQ(values(State(state)), values(state));
  EXPECT_EQ(values(State(state.snapshot())), values(state));
}

TEST_P(CudaHalfState, KeepsTheLargestNumberOfWhatIsLarger) {
  const Model model = load("cuda fp32");
  State state = model.new_state();
  auto arrays = state.arrays();
  for (auto& array : arrays) std::ranges::fill(array.values, -1e6f);
  state.assign(arrays);
  for (const State::Array& array : state.arrays()) {
    const float expected = is_matrix(array) ? -65504.0f : -1e6f;
    EXPECT_TRUE(std::ranges::all_of(array.values, [&](float x) { return x == expected; })) << array.name;
  }
}

TEST_P(CudaHalfState, RoundsOneArrayAsAllOfThem) {
  const Model model = load("cuda fp32");
  State one_by_one = model.new_state(), together = one_by_one;
  auto arrays = together.arrays();
  for (auto& array : arrays) {
    for (std::size_t j = 0; j < array.values.size(); ++j) array.values[j] = 1.0f / static_cast<float>(j + 3);
    one_by_one.assign(array);
  }
  together.assign(arrays);
  EXPECT_EQ(values(one_by_one), values(together));
  EXPECT_EQ(values(one_by_one).front(), arrays.front().values);
  EXPECT_NE(values(one_by_one)[1], arrays[1].values);
}

TEST_P(CudaHalfState, IsRefusedByModelsThatKeepThemOtherwise) {
  const Model half = load("cuda fp32"), whole = load("cuda fp32", false), cpu = load("cpu fp32", false);
  expect_state_error(whole, half.new_state(), "in fp16, this model needs it on cuda:0");
  expect_state_error(half, whole.new_state(), "in fp32, this model needs it on cuda:0");
  expect_state_error(whole, cpu.new_state(), "block 0 of the state lies on cpu in fp32, this model needs it on cuda:0");
  expect_state_error(cpu, whole.new_state(), "in fp32, this model needs it on cpu in fp32: save() the state");
  State other = load("cpu fp32", false).new_state();
  EXPECT_NO_THROW(feed(cpu, other, tokens, {4}));
}

TEST_P(CudaHalfState, SplitsRoundThePartOnTheCard) {
  const Model split = load("cuda fp32 *1 -> cpu fp32");
  State state = split.new_state();
  feed(split, state, tokens, {3});
  bool rounded = true;
  for (const State::Array& array : state.arrays()) {
    if (!is_matrix(array)) continue;
    EXPECT_EQ(array.values == halves({array.values}).front(), rounded) << array.name;
    rounded = false;  // the first block only
  }
}

INSTANTIATE_TEST_SUITE_P(Each, CudaHalfState, testing::ValuesIn(std::span(kVersionModels).subspan(1)), version_name);

TEST(CudaHalfStates, AreRefusedWhereNoLayerCanHaveThem) {
  const LoadOptions options{.fp16_state = true};
  EXPECT_THROW(Model(model_file("random-v7"), "cpu fp32", options), ArgumentError);
  EXPECT_THROW(Model(model_file("random-v4"), "cuda fp32", options), ArgumentError);
}

}  // namespace
}  // namespace rwkv::test
