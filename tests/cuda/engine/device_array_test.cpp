// SPDX-License-Identifier: Apache-2.0
// States and logits where they lie on the card. They are read by another device object, whose stream waits for none of the
// model's: what a forward left undone would be seen.
#include <algorithm>

#include "cuda/engine/engine.h"
#include "devices.h"

namespace rwkv::test {
namespace {

using Kind = DeviceArray::Kind;

class CudaArrays : public testing::TestWithParam<VersionModel> {
 protected:
  void SetUp() override { RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version); }
  [[nodiscard]] Model load(const char* strategy) const { return Model(model_file(GetParam().file), strategy); }

  static std::vector<float> read(const DeviceArray& array) {
    std::int64_t n = 1;
    for (const std::int64_t size : array.shape) n *= size;
    std::vector<float> values(n);
    const auto bytes = values.size() * sizeof(float);
    open_device({array.device == Kind::cuda ? DeviceKind::cuda : DeviceKind::cpu, array.ordinal}, 1)
        ->download(values.data(), array.data, bytes);
    return values;
  }
  static std::vector<std::vector<float>> read(std::span<const DeviceArray> arrays) {
    std::vector<std::vector<float>> all;
    for (const DeviceArray& array : arrays) all.push_back(read(array));
    return all;
  }

  const std::vector<Token> tokens = load_golden(GetParam().file).tokens;
};

TEST_P(CudaArrays, OfAStateAreThoseOfADownloadAfterEveryForward) {
  const Model model = load("cuda fp32");
  State state = model.new_state();
  const std::vector<DeviceArray> arrays = state.device_arrays();
  const auto described = state.arrays();
  ASSERT_EQ(arrays.size(), described.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_EQ(arrays[i].name, described[i].name);
    EXPECT_EQ(arrays[i].shape, described[i].shape);
    EXPECT_EQ(arrays[i].device, Kind::cuda);
    EXPECT_EQ(arrays[i].ordinal, 0);
  }
  auto before = read(arrays);
  EXPECT_EQ(before, values(state));
  for (const std::size_t n : {5, 1, 1, 1}) {  // steps are replayed from the second one on
    model.forward(std::span(tokens).first(n), state, {});
    const auto after = read(arrays);
    EXPECT_EQ(after, values(state)) << n;
    EXPECT_NE(after, before) << n;
    before = after;
  }
}

TEST_P(CudaArrays, OfAStateJustMadeAreComplete) {
  const Model model = load("cuda fp32");
  State state = model.new_state();
  model.forward(std::span(tokens).first(5), state, {});
  const std::vector<State::Array> arrays = state.arrays();
  State copy = state;
  const auto of_copy = read(copy.device_arrays());
  EXPECT_EQ(of_copy, values(state));
  State assigned = model.new_state();
  assigned.assign(arrays);
  const auto of_assigned = read(assigned.device_arrays());
  EXPECT_EQ(of_assigned, values(state));
}

// In arrays that others have had since before.
TEST_P(CudaArrays, HaveWhatIsAssignedToTheState) {
  const Model model = load("cuda fp32");
  State state = model.new_state();
  const std::vector<DeviceArray> arrays = state.device_arrays();
  const auto changed = [&] {
    std::vector<State::Array> all = state.arrays();
    for (State::Array& array : all) {
      for (float& x : array.values) x += 1;
    }
    return all;
  };
  const std::vector<State::Array> all = changed();
  state.assign(all);
  const auto found = read(arrays);
  EXPECT_EQ(found, values(state));
  EXPECT_EQ(found.back(), all.back().values);
  for (const State::Array& array : changed()) {
    auto expected = values(state);
    state.assign(array);
    const auto after = read(arrays);
    expected[std::ranges::find(arrays, array.name, &DeviceArray::name) - arrays.begin()] = array.values;
    EXPECT_EQ(after, expected) << array.name;
  }
}

TEST_P(CudaArrays, OfLogitsAreThoseOfForward) {
  const Model model = load("cuda fp32");
  const std::size_t n_vocab = model.config().n_vocab, lengths[] = {3, 1, 2, 1};
  for (const LogitsOf which : {LogitsOf::last_token, LogitsOf::every_token}) {
    std::vector<State> states(4, model.new_state()), same = states;
    for (const bool step : {false, true, true, true}) {
      std::vector<Sequence> batch, plain;
      std::vector<std::vector<float>> parts;
      for (std::size_t i = 0; i < 4; ++i) {
        const auto text = std::span(tokens).subspan(i, step ? 1 : lengths[i]);
        parts.emplace_back(n_vocab * (which == LogitsOf::every_token ? text.size() : 1), NAN);
        batch.push_back({.tokens = text, .state = &states[i]});
        plain.push_back({.tokens = text, .state = &same[i]});
      }
      for (std::size_t i = 0; i < 4; ++i) plain[i].logits = parts[i];
      const DeviceArray found = model.forward_on_device(batch, which);
      model.forward(plain);
      std::vector<float> expected;
      for (const auto& part : parts) expected.insert(expected.end(), part.begin(), part.end());
      EXPECT_EQ(found.device, Kind::cuda);
      EXPECT_EQ(read(found), expected) << step;
    }
    EXPECT_EQ(states, same);
  }
}

TEST_P(CudaArrays, OutliveStateAndModel) {
  std::vector<DeviceArray> arrays;
  std::vector<std::vector<float>> expected;
  {
    const Model model = load("cuda fp32");
    State state = model.new_state();
    const Sequence sequence{.tokens = std::span(tokens).first(2), .state = &state};
    const DeviceArray logits = model.forward_on_device({&sequence, 1});
    arrays = state.device_arrays();
    arrays.push_back(logits);
    expected = read(arrays);
  }
  const Model other = load("cuda fp32");  // would take memory that is free
  EXPECT_EQ(read(arrays), expected);
}

TEST_P(CudaArrays, LieOnTheDevicesOfASplitModel) {
  const Model model = load("cuda fp32 *1 -> cpu fp32");
  State state = model.new_state();
  const Sequence sequence{.tokens = std::span(tokens).first(4), .state = &state};
  const DeviceArray logits = model.forward_on_device({&sequence, 1});
  EXPECT_EQ(logits.device, Kind::cpu);
  const std::vector<DeviceArray> arrays = state.device_arrays();
  EXPECT_EQ(arrays.front().device, Kind::cuda);
  EXPECT_EQ(arrays.back().device, Kind::cpu);
  EXPECT_EQ(read(arrays), values(state));
}

INSTANTIATE_TEST_SUITE_P(Each, CudaArrays, testing::ValuesIn(kVersionModels), version_name);

}  // namespace
}  // namespace rwkv::test
