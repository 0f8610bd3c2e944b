// SPDX-License-Identifier: Apache-2.0
// What states ask of the CUDA runtime: copies and waits cost a host that serves many texts more than their bytes.
#include "cuemu/engine/machine.h"

namespace rwkv::test {
namespace {

constexpr const char* kSplit = "cuda fp16 *2 -> cuda:1 fp16";

TEST_F(CudaMachine, AStateIsLoadedByOneUploadToEachCard) {
  const Model model(model_file("random-v7"), kSplit);
  State state = model.new_state();
  model.forward(std::vector<Token>(5, 7), state, {});
  const auto path = temporary_file("uploaded.state");
  state.save(path);
  const cuemu::Counts before = cuemu::counts();
  const State loaded = State::load(path, model);
  const cuemu::Counts after = cuemu::counts();
  EXPECT_EQ(after.uploads - before.uploads, 2);
  EXPECT_EQ(after.downloads - before.downloads, 0);
  EXPECT_EQ(after.waits - before.waits, 2);
  EXPECT_EQ(loaded, state);
  EXPECT_EQ(loaded.tokens_seen(), 5);
  EXPECT_EQ(values(loaded), values(state));
}

// For a state's own devices, whatever these were asked for before, and the copy that is kept of it; and for this model's at the
// end.
TEST_F(CudaMachine, APolledCallWithAnothersStateWaitsOnceForIt) {
  const Model model(model_file("random-v7"), "cuda fp32"), other(model_file("random-v7"), "cuda fp32");
  const std::vector<Token> tokens(100, 5);  // so many that it is polled
  State alone = model.new_state();
  model.forward(tokens, alone, {});
  State state = other.new_state();
  const cuemu::Counts before = cuemu::counts();
  int polls = 0;
  model.forward(tokens, state, {}, [&] { ++polls; });
  EXPECT_GT(polls, 1);
  EXPECT_EQ(cuemu::counts().waits - before.waits, 2);
  EXPECT_EQ(state, alone);
}

}  // namespace
}  // namespace rwkv::test
