// SPDX-License-Identifier: Apache-2.0
// States as values: looked into, compared, taken apart and put together.
#include <rwkv/model.h>

#include <algorithm>
#include <utility>

#include "golden/golden.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

class StateValue : public testing::TestWithParam<int> {
 protected:
  StateValue()
      : model_(MadeCheckpoint(GetParam()).write("state_value"), "cpu fp32", {.threads = 1}), state_(model_.new_state()) {
    model_.forward(std::vector<Token>{1, 2, 3}, state_, {});
  }

  Model model_;
  State state_;
};

TEST_P(StateValue, ViewsShowTheArraysAndWritingToThemChangesTheState) {
  const std::vector<State::Array> arrays = state_.arrays();
  const std::vector<State::View> views = state_.views();
  ASSERT_EQ(views.size(), arrays.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    EXPECT_EQ(views[i].name, arrays[i].name);
    EXPECT_EQ(views[i].shape, arrays[i].shape);
    EXPECT_TRUE(std::ranges::equal(views[i].values, arrays[i].values));
  }
  views[1].values[3] = 7.5f;
  EXPECT_EQ(state_.arrays()[1].values[3], 7.5f);
}

TEST_P(StateValue, DeviceArraysLieWhereViewsDoAndKeepTheirMemory) {
  const std::vector<State::View> views = state_.views();
  const std::vector<DeviceArray> arrays = state_.device_arrays();
  ASSERT_EQ(arrays.size(), views.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_EQ(arrays[i].name, views[i].name);
    EXPECT_EQ(arrays[i].shape, views[i].shape);
    EXPECT_EQ(arrays[i].data, views[i].values.data());
    EXPECT_EQ(arrays[i].type, DeviceArray::Type::float32);
    EXPECT_EQ(arrays[i].device, DeviceArray::Kind::cpu);
    EXPECT_EQ(arrays[i].ordinal, 0);
  }
  const std::vector<float> before = state_.arrays()[0].values;
  state_ = State();  // sanitizers see whether the memory went with it
  EXPECT_TRUE(std::ranges::equal(std::span(static_cast<float*>(arrays[0].data), before.size()), before));
  EXPECT_TRUE(state_.device_arrays().empty());
}

// 40 channels, so that it is not the sizes that align them.
TEST_P(StateValue, ArraysBeginAtMultiplesOf64BytesAndOnlyTheirValuesCount) {
  std::size_t bytes = 0;
  for (const State::View& view : state_.views()) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.values.data()) % 64, 0u) << view.name;
    bytes += view.values.size_bytes();
  }
  EXPECT_EQ(state_.bytes(), static_cast<std::int64_t>(bytes));
  EXPECT_EQ(model_.state_bytes(), state_.bytes());
}

TEST_P(StateValue, NamesItsArraysAndItsModelWithoutThem) {
  std::vector<std::string> expected;
  for (const State::Array& array : state_.arrays()) expected.push_back(array.name);
  EXPECT_EQ(state_.names(), expected);
  EXPECT_EQ(state_.config(), model_.config());
  EXPECT_TRUE(State().names().empty());
  EXPECT_EQ(State().config().version, 0);
}

TEST_P(StateValue, AssignsOneArrayByItsName) {
  std::vector<State::Array> expected = state_.arrays();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    State state = state_;
    State::Array one = expected[i];
    for (std::size_t j = 0; j < one.values.size(); ++j) one.values[j] = 0.5f * static_cast<float>(j) - 7;
    state.assign(one);
    std::vector<State::Array> found = state.arrays();
    EXPECT_EQ(found[i].values, one.values) << one.name;
    found[i].values = expected[i].values;
    EXPECT_TRUE(std::ranges::equal(found, expected, {}, &State::Array::values, &State::Array::values)) << one.name;
    EXPECT_EQ(state.tokens_seen(), 3);
  }
}

TEST_P(StateValue, RefusesOneArrayOfAnotherNameOrShapeAndStaysAsItWas) {
  const State before = state_;
  const auto refused = [&](const State::Array& array) { return message_of<StateError>([&] { state_.assign(array); }); };
  State::Array one = state_.arrays()[1];
  const std::string name = std::exchange(one.name, "blocks.2.S");
  EXPECT_NE(refused(one).find("no array \"blocks.2.S\""), std::string::npos);
  one.name = name;
  one.values.push_back(1);
  EXPECT_NE(refused(one).find(name + ": expected shape"), std::string::npos);
  one.shape.front() += 1;
  EXPECT_NE(refused(one).find("found"), std::string::npos);
  EXPECT_EQ(state_, before);
  EXPECT_THROW(State().assign(one), StateError);
}

TEST_P(StateValue, EqualsACopyUntilOneValueDiffers) {
  State copy = state_;
  EXPECT_TRUE(copy == state_);
  copy.views().back().values.back() += 1.0f;
  EXPECT_FALSE(copy == state_);
  EXPECT_FALSE(state_ == model_.new_state());
  EXPECT_FALSE(state_ == State());
  EXPECT_TRUE(State() == State());
}

TEST_P(StateValue, ASnapshotMakesAnEqualStateThatTheModelTakes) {
  State again(state_.snapshot());
  EXPECT_TRUE(again == state_);
  EXPECT_EQ(again.tokens_seen(), 3);
  std::vector<float> a(51), b(51);
  model_.forward(std::vector<Token>{4}, again, a);
  model_.forward(std::vector<Token>{4}, state_, b);
  EXPECT_EQ(max_difference(a, b), 0.0);
}

TEST_P(StateValue, ASnapshotThatContradictsItselfIsRefused) {
  const State::Snapshot good = state_.snapshot();
  const auto refused = [&](const auto& damage) {
    State::Snapshot bad = good;
    damage(bad);
    EXPECT_THROW(State{bad}, StateError);
  };
  refused([](auto& s) { s.config.version = 8; });
  refused([](auto& s) { s.config.n_layer = 3; });
  refused([](auto& s) { s.config.n_layer = 1 << 30; });
  refused([](auto& s) { s.config.n_layer = -1; });
  refused([](auto& s) { s.config.n_embd = 1 << 30; });
  refused([](auto& s) { s.arrays.pop_back(); });
  refused([](auto& s) { s.arrays.clear(); });
  refused([](auto& s) { s.arrays[1].values.pop_back(); });
  refused([](auto& s) { s.arrays[1].shape.push_back(1); });
}

INSTANTIATE_TEST_SUITE_P(Versions, StateValue, testing::Values(4, 5, 6, 7));

}  // namespace
}  // namespace rwkv::test
