// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a model file, and what is said about it.
#include <rwkv/model.h>

#include "golden/golden.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

using testing::Test;

std::string load_error(const std::filesystem::path& path, const char* strategy = "cpu fp32") {
  return message_of<CheckpointError>([&] { const Model model(path, strategy); });
}

void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
}

TEST(Load, EveryVersionLoadsAndRunsWithSizesOfItsOwn) {
  for (const int version : {4, 5, 6, 7}) {
    const Model model(MadeCheckpoint(version).write("plain"), "cpu fp32");
    EXPECT_EQ(model.config().version, version);
    EXPECT_EQ(model.config().n_embd, 40);
    EXPECT_TRUE(model.unused_tensors().empty());
    State state = model.new_state();
    std::vector<float> logits(51, NAN);
    model.forward(std::vector<Token>{1, 50, 0}, state, logits);
    for (const float x : logits) EXPECT_TRUE(std::isfinite(x));
  }
}

TEST(Load, RefusesAbsurdNumbersOfThreads) {
  const auto path = MadeCheckpoint(7).write("threads");
  for (const int threads : {-1, 4097}) {
    const std::string text = message_of<ArgumentError>([&] { const Model model(path, "cpu fp32", {.threads = threads}); });
    EXPECT_EQ(text, "threads is " + std::to_string(threads) + "; it must be 0 (one per core) to 4096");
  }
}

TEST(Load, AOneDimensionalRankAndAnOnlyHeadAreNotMistakenForMissingSizes) {
  for (const int version : {5, 6, 7}) {
    const Model model(MadeCheckpoint(version, {.n_head = 1, .rank = 1}).write("ones"), "cpu fp32");
    EXPECT_EQ(model.config().n_head, 1);
    EXPECT_EQ(model.config().head_size, 40);
  }
}

TEST(Load, NamesTheFirstTenMissingTensorsWithTheirShapes) {
  MadeCheckpoint made(7);
  std::erase_if(made.tensors, [](const auto& t) { return t.first.find("blocks.1.att") == 0; });
  const std::string error = load_error(made.write("missing"));
  expect_in(error, "missing blocks.1.att.x_r, expected [40]");
  expect_in(error, "missing blocks.1.att.receptance.weight, expected [40, 40]");
  expect_in(error, "and more");
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 11);
}

TEST(Load, WithoutLn0ItMayBeAFilePreparedForOneStrategy) {
  MadeCheckpoint made(4);
  std::erase_if(made.tensors, [](const auto& t) { return t.first.find("blocks.0.ln0") == 0; });
  expect_in(load_error(made.write("prepared")), "use the original checkpoint");
}

TEST(Load, NamesExpectedAndFoundShape) {
  MadeCheckpoint made(6);
  made.add("blocks.1.ffn.key.weight", {72, 20});
  expect_in(load_error(made.write("shape")), "blocks.1.ffn.key.weight: expected shape [72, 40], found [72, 20]");
}

TEST(Load, AGapInTheBlockNumbersIsMissingTensors) {
  MadeCheckpoint made(4);
  made.add("blocks.5.ln1.weight", {40});
  expect_in(load_error(made.write("gap")), "missing blocks.2.ln1.weight, expected [40]");
  made.add("blocks.4000000000.ln1.weight", {40});
  expect_in(load_error(made.write("far")), "block number 4000000000 is too large");
}

TEST(Load, ReportsTensorsThatNobodyUses) {
  MadeCheckpoint made(7);
  made.add("blocks.1.att.new_idea", {40});
  const auto path = made.write("unused");
  EXPECT_EQ(Model(path, "cpu fp32").unused_tensors(), std::vector<std::string>{"blocks.1.att.new_idea"});
  EXPECT_EQ(inspect(path).unused_tensors, std::vector<std::string>{"blocks.1.att.new_idea"});
}

TEST(Load, RefusesWhatOnlyLooksLikeAModelByName) {
  const std::pair<const char*, const char*> cases[] = {{"blocks.0.ffn.s_emb.weight", "RWKV-7a"},
                                                       {"blocks.0.qkv.qq.weight", "RWKV-7b"},
                                                       {"model.embeddings.weight", "Hugging Face"},
                                                       {"blocks.0.att.time_mix_w1", "web-rwkv"}};
  for (const auto& [tensor, what] : cases) {
    MadeCheckpoint made(7);
    made.add(tensor, {40, 40});
    expect_in(load_error(made.write("lookalike")), what);
  }
  MadeCheckpoint adapter(7);
  adapter.tensors.clear();
  adapter.add("blocks.0.att.key.lora_A", {4, 40});
  expect_in(load_error(adapter.write("adapter")), "LoRA adapter");
  adapter.tensors.clear();
  adapter.add("blocks.0.att.time_state", {2, 20, 20});
  expect_in(load_error(adapter.write("tuned")), "tuned initial state");
}

TEST(Load, ANumberTooLargeForFp16NamesItsTensorAndTheWayOut) {
  MadeCheckpoint made(7);
  made.tensors["blocks.1.ffn.key.weight"].values[100] = 70000.0f;
  const auto path = made.write("large");
  const std::string error = load_error(path, "cpu fp16");
  expect_in(error, "blocks.1.ffn.key.weight");
  expect_in(error, "use bf16");
  EXPECT_NO_THROW(Model(path, "cpu bf16"));
}

// Spec 9.2: index [head][value][key]; ours is [head][key][value] in versions 5 and 6, [head][value][key] in 7.
TEST(Load, ATimeStateInsideTheCheckpointIsTheInitialState) {
  for (const int version : {5, 6, 7}) {
    MadeCheckpoint made(version);
    made.add("blocks.0.att.time_state", {2, 20, 20});
    made.add("blocks.1.att.time_state", {2, 20, 20});
    const auto stored = made.tensors["blocks.1.att.time_state"].values;
    const auto s = Model(made.write("tuned_inside"), "cpu fp32").new_state().arrays()[4].values;
    for (int h = 0; h < 2; ++h) {
      for (int i = 0; i < 20; ++i) {
        for (int j = 0; j < 20; ++j) {
          const int ours = (h * 20 + i) * 20 + j, theirs = version == 7 ? ours : (h * 20 + j) * 20 + i;
          ASSERT_EQ(s[ours], stored[theirs]) << version;
        }
      }
    }
  }
}

TEST(Load, TheHeadNormEpsilonComesFromTheOptionThenTheFileThenTheDefault) {
  MadeCheckpoint made(7);
  EXPECT_FLOAT_EQ(Model(made.write("eps"), "cpu fp32").config().head_norm_eps, 64e-5f);
  made.metadata["rwkv.head_norm_eps"] = "1e-05";
  const auto path = made.write("eps");
  EXPECT_FLOAT_EQ(Model(path, "cpu fp32").config().head_norm_eps, 1e-5f);
  EXPECT_FLOAT_EQ(Model(path, "cpu fp32", {.head_norm_eps = 2e-5f}).config().head_norm_eps, 2e-5f);
  EXPECT_THROW(Model(path, "cpu fp32", {.head_norm_eps = 0.0f}), ArgumentError);
  made.metadata["rwkv.head_norm_eps"] = "small";
  EXPECT_THROW(Model(made.write("eps"), "cpu fp32"), Error);
}

TEST(Load, ProgressGrowsToTheWholeAndItsExceptionEndsTheLoad) {
  const auto path = MadeCheckpoint(7).write("progress");
  std::int64_t last = 0, end = 0;
  const Model model(path, "cpu fp32", {.progress = [&](std::int64_t done, std::int64_t total) {
                      EXPECT_GE(done, last);
                      last = done;
                      end = total;
                    }});
  EXPECT_GT(end, 0);
  EXPECT_EQ(last, end);
  EXPECT_THROW(Model(path, "cpu fp32", {.progress = [](std::int64_t, std::int64_t) { throw std::runtime_error("enough"); }}),
               std::runtime_error);
}

// Cut between two reads, as another program may do it: an error wherever it happens, not a signal.
TEST(Load, AFileThatIsCutShortWhileItLoadsIsAnError) {
  for (const char* strategy : {"cpu fp32", "cpu bf16", "cpu fp16i8"}) {
    for (int call = 1; call < 12; call += 5) {
      const auto path = MadeCheckpoint(7).write("cut");
      int calls = 0;
      const auto cut = [&](std::int64_t, std::int64_t) {
        if (++calls == call) std::filesystem::resize_file(path, std::filesystem::file_size(path) / 8);
      };
      expect_in(message_of<CheckpointError>([&] { const Model model(path, strategy, {.progress = cut}); }), "truncated");
    }
  }
}

}  // namespace
}  // namespace rwkv::test
