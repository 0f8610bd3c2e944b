// SPDX-License-Identifier: Apache-2.0
// States as values and as files: what continues from one is what continues from the other, bit by bit.
#include <sys/stat.h>

#include <fstream>

#include "golden/golden.h"

namespace rwkv::test {
namespace {

constexpr const char* kFiles[] = {"random-v4", "random-v5.2", "random-v6", "random-v7"};
const std::vector<Token> kStart{1, 50, 96, 3}, kNext{7, 8, 9}, kOther{70, 71};

State started(const Model& model) {
  State state = model.new_state();
  model.forward(kStart, state, {});
  return state;
}

TEST(StateValue, ACopyContinuesOnItsOwn) {
  for (const char* file : kFiles) {
    const Model model(model_file(file), "cpu fp32");
    State state = started(model), fork = state, fresh = started(model);
    (void)feed(model, fork, kOther, {1});
    EXPECT_EQ(feed(model, state, kNext, {1}), feed(model, fresh, kNext, {1})) << file;
  }
}

TEST(StateValue, ArraysAssignedToANewStateContinueTheText) {
  for (const char* file : kFiles) {
    const Model model(model_file(file), "cpu fp32");
    State state = started(model), copy = model.new_state();
    copy.assign(state.arrays());
    EXPECT_EQ(feed(model, copy, kNext, {1}), feed(model, state, kNext, {1})) << file;
  }
}

TEST(StateFile, ContinuesBitByBitAndIsPrivate) {
  const auto path = std::filesystem::path(testing::TempDir()) / "rwkv-state-continues";
  for (const char* file : kFiles) {
    const Model model(model_file(file), "cpu fp32");
    State state = started(model);
    state.save(path);
    State loaded = State::load(path, model);
    EXPECT_EQ(loaded.tokens_seen(), 4);
    EXPECT_EQ(feed(model, loaded, kNext, {1}), feed(model, state, kNext, {1})) << file;
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_EQ(State::load(path, Model(model_file(file), "cpu bf16")).tokens_seen(), 4) << "other type of weights";
  }
  EXPECT_THROW((void)State::load(path, Model(model_file("random-v6"), "cpu fp32")), StateError);
}

TEST(StateFile, FlippedBytesAreRefusedOrChangeNothing) {
  const auto path = std::filesystem::path(testing::TempDir()) / "rwkv-state-flipped";
  const Model model(model_file("random-v7"), "cpu fp32");
  State state = started(model);
  state.save(path);
  const std::string good = read_file(path);
  State intact = State::load(path, model);
  const auto expected = feed(model, intact, kNext, {1});
  for (std::size_t at = 0; at < good.size(); at += 97) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    std::ofstream(path, std::ios::binary) << bad;
    try {
      State loaded = State::load(path, model);
      EXPECT_EQ(loaded.tokens_seen(), 4) << at;
      EXPECT_EQ(feed(model, loaded, kNext, {1}), expected) << at;
    } catch (const StateError&) {
    }
  }
}

}  // namespace
}  // namespace rwkv::test
