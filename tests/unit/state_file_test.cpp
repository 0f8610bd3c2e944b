// SPDX-License-Identifier: Apache-2.0
// Files that are not the state they should be.
#include <rwkv/model.h>

#include <fstream>

#include "golden/golden.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

class DamagedState : public testing::Test {
 protected:
  DamagedState() : model_(MadeCheckpoint(7).write("state_model"), "cpu fp32"), state_(model_.new_state()) {
    model_.forward(std::vector<Token>{1, 2, 3}, state_, {});
    state_.save(path_);
  }

  std::string load_error(const Model& model) {
    return message_of<StateError>([&] { (void)State::load(path_, model); });
  }
  void write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  const std::filesystem::path path_ = temporary_file("test.state");
  Model model_;
  State state_;
};

TEST_F(DamagedState, OfAnotherShapeNamesBoth) {
  const std::string error = load_error(Model(MadeCheckpoint(7, {.n_layer = 3}).write("state_other"), "cpu fp32"));
  EXPECT_NE(error.find("the state is of RWKV-7, 2 layers"), std::string::npos) << error;
  EXPECT_NE(error.find("this model is RWKV-7, 3 layers"), std::string::npos) << error;
}

TEST_F(DamagedState, OfTheSameShapeWithOtherWeightsIsRefused) {
  const std::string error = load_error(Model(MadeCheckpoint(7, {.seed = 2}).write("state_other"), "cpu fp32"));
  EXPECT_NE(error.find("other weights"), std::string::npos) << error;
}

TEST_F(DamagedState, CutShortAnywhereIsRefused) {
  const std::string whole = read_file(path_);
  for (std::size_t n = 0; n < whole.size(); n += 101) {
    write(whole.substr(0, n));
    EXPECT_THROW((void)State::load(path_, model_), StateError) << n;
  }
}

TEST_F(DamagedState, AFailedLoadLeavesTheOldStateAsItWas) {
  const State before = state_;
  write(read_file(path_).substr(0, 100));
  EXPECT_THROW(state_ = State::load(path_, model_), StateError);
  EXPECT_EQ(state_.tokens_seen(), 3);
  EXPECT_EQ(max_difference(state_.arrays()[1].values, before.arrays()[1].values), 0.0);
}

TEST_F(DamagedState, NotANumberIsRefused) {
  std::vector<State::Array> arrays = state_.arrays();
  arrays[4].values[7] = NAN;
  state_.assign(arrays);
  state_.save(path_);
  EXPECT_NE(load_error(model_).find("blocks.1.S holds nan"), std::string::npos);
}

TEST_F(DamagedState, AModelIsNotAStateAndAStateNotAModel) {
  EXPECT_THROW((void)State::load(MadeCheckpoint(7).write("state_model"), model_), StateError);
  const std::string error = message_of<CheckpointError>([&] { const Model model(path_, "cpu fp32"); });
  EXPECT_NE(error.find("a saved state"), std::string::npos) << error;
  EXPECT_THROW((void)State::load("no such file", model_), FileError);
}

TEST_F(DamagedState, AStateOfNoModelSaysSo) {
  State none;
  EXPECT_EQ(none.bytes(), 0);
  EXPECT_TRUE(none.arrays().empty());
  EXPECT_THROW(none.save(path_), StateError);
  EXPECT_THROW(none.assign(std::vector<State::Array>()), StateError);
  EXPECT_EQ(State(none).tokens_seen(), 0);
}

TEST_F(DamagedState, AssignRefusesWrongShapesAndChangesNothing) {
  std::vector<State::Array> arrays = state_.arrays();
  arrays[5].values.push_back(1.0f);
  EXPECT_THROW(state_.assign(arrays), StateError);
  EXPECT_THROW(state_.assign(std::span(arrays).first(2)), StateError);
}

}  // namespace
}  // namespace rwkv::test
