// SPDX-License-Identifier: Apache-2.0
// How many kernels a block launches: what a short step takes is mostly the time from one to the next.
#include "cuda/engine/engine.h"
#include "cuemu/cuemu.h"
#include "message.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

// A call with so many tokens of each sequence, in a model of n_layer blocks with a head of 64.
struct Step {
  std::int64_t launches, overlapping;
  std::vector<float> logits;
};
Step step(int version, int n_layer, const std::string& type, int n_token, int n_sequence = 1) {
  const MadeCheckpoint made(version, {.n_layer = n_layer, .n_embd = 64, .n_head = 1, .n_ffn = 96, .rank = 32});
  const Model model(made.write(message("launches", version, type, n_layer)), "cuda " + type);
  std::vector<State> states;
  std::vector<float> logits(model.config().n_vocab);
  const std::vector<Token> tokens(static_cast<std::size_t>(n_token), 7);
  for (int i = 0; i < n_sequence; ++i) states.push_back(model.new_state());
  std::vector<Sequence> batch;
  for (State& state : states) batch.push_back({tokens, &state, batch.empty() ? std::span(logits) : std::span<float>()});
  const cuemu::Launches before = cuemu::launches();
  model.forward(batch);
  const cuemu::Launches& after = cuemu::launches();
  return {after.all - before.all, after.overlapping - before.overlapping, logits};
}

// Of one block more.
std::int64_t launches_of_block(int version, const std::string& type, int n_token = 1, int n_sequence = 1) {
  return step(version, 3, type, n_token, n_sequence).launches - step(version, 2, type, n_token, n_sequence).launches;
}

TEST(CudaLaunches, ABlockOfVersion7HasEight) {
  for (const char* const type : {"fp32", "fp16", "bf16", "fp16i8", "fp16i4", "bf16i8"}) {
    for (const int n_token : {1, 2}) EXPECT_EQ(launches_of_block(7, type, n_token), 8) << type << " tokens: " << n_token;
  }
}

// Products of low rank are not quantised: from three rows on each type has its launch.
TEST(CudaLaunches, MoreRowsOfQuantisedWeightsHaveOneMore) {
  for (const int n_sequence : {3, 10}) {  // more than 8 rows are for tensor cores
    EXPECT_EQ(launches_of_block(7, "fp16", 1, n_sequence), 8) << n_sequence;
    EXPECT_EQ(launches_of_block(7, "fp16i8", 1, n_sequence), 9) << n_sequence;
  }
}

TEST(CudaLaunches, ABlockOfAnOlderVersionHasSevenToTwelve) {
  for (const char* const type : {"fp16", "fp16i8", "fp16i4"}) {
    EXPECT_EQ(launches_of_block(4, type), 7) << type;
    EXPECT_EQ(launches_of_block(5, type), 8) << type;
    EXPECT_EQ(launches_of_block(6, type), 12) << type;
  }
}

// From the embedding to the head, so that the next kernel is there when one ends; an older card does the same one by one.
TEST(CudaLaunches, OfADecodeStepOverlapWhereTheCardCan) {
  for (int version = 4; version <= 7; ++version) {
    for (const int n_sequence : {1, 10}) {
      const Step overlapped = step(version, 2, "fp16i8", 1, n_sequence);
      EXPECT_EQ(overlapped.overlapping, overlapped.launches) << version;
      cuemu::config().sm = 80;
      const Step alone = step(version, 2, "fp16i8", 1, n_sequence);
      cuemu::config().sm = 90;
      EXPECT_EQ(alone.overlapping, 0);
      EXPECT_EQ(alone.launches, overlapped.launches);
      EXPECT_EQ(alone.logits, overlapped.logits) << version;
    }
  }
}

}  // namespace
}  // namespace rwkv::test
