// SPDX-License-Identifier: Apache-2.0
// What decode steps ask of the CUDA runtime, and what they do when it has no memory left.
#include <algorithm>

#include "cuda/engine/engine.h"
#include "cuemu/cuemu.h"
#include "message.h"

namespace rwkv::test {
namespace {

class CudaSteps : public testing::TestWithParam<VersionModel> {
 protected:
  void SetUp() override { RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version); }
  ~CudaSteps() override { cuemu::config() = before_; }

  [[nodiscard]] Model load() const { return Model(model_file(GetParam().file), "cuda fp16"); }

  // One token for each of the first n_seq states. Logits are next to each other.
  static std::vector<float> step(const Model& model, std::vector<State>& states, std::size_t n_seq, Token token) {
    const std::size_t n_vocab = model.config().n_vocab;
    std::vector<float> logits(n_seq * n_vocab, NAN);
    std::vector<Sequence> batch;
    for (std::size_t i = 0; i < n_seq; ++i) {
      batch.push_back({{&token, 1}, &states[i], std::span(logits).subspan(i * n_vocab, n_vocab)});
    }
    model.forward(batch);
    return logits;
  }

 private:
  const cuemu::Config before_ = cuemu::config();
};

TEST_P(CudaSteps, AreOneUploadOneGraphAndOneDownload) {
  const Model model = load();
  std::vector<State> states(3, model.new_state());
  for (const std::size_t n_seq : {1, 3}) {
    for (int n = 0; n < 5; ++n) {
      const cuemu::Counts before = cuemu::counts();
      step(model, states, n_seq, 7);
      const cuemu::Counts after = cuemu::counts();
      EXPECT_EQ(after.graphs - before.graphs, n == 0 ? 0 : 1) << n;
      EXPECT_EQ(after.kernels - before.kernels > 0, n == 0) << n;
      EXPECT_EQ(after.uploads - before.uploads, 1) << n;
      EXPECT_EQ(after.copies - before.copies, 0) << n;
      EXPECT_EQ(after.downloads - before.downloads, 1) << n;
      EXPECT_EQ(after.waits - before.waits, 1) << n;
    }
  }
}

// A graph for each stage on a card; what is handed to the host is a download more, what comes from there an upload.
TEST_P(CudaSteps, OfSplitsAreAGraphForEachStage) {
  const int n_carried = GetParam().version == 7 ? 2 : 1;  // x, v_first
  struct Case {
    const char* strategy;
    int graphs, uploads, copies, downloads;
  };
  const Case cases[] = {{"cuda fp16 *2 -> cuda:1 fp16", 2, 2, n_carried, 1},
                        {"cuda fp16 *3 -> cuda:1 fp16", 2, 2, 1, 1},
                        {"cuda:1 fp16 *1 -> cuda fp16 *1 -> cuda:1 fp16", 3, 3, 2 * n_carried, 1},
                        {"cuda fp16 *2 -> cpu fp32", 1, 1, 0, n_carried},
                        {"cpu fp32 *1 -> cuda fp16", 1, 1 + n_carried, 0, 1}};
  for (const Case& expected : cases) {
    const Model model(model_file(GetParam().file), expected.strategy);
    std::vector<State> states(3, model.new_state());
    for (int n = 0; n < 4; ++n) {
      const cuemu::Counts before = cuemu::counts();
      step(model, states, 3, 7);
      const cuemu::Counts after = cuemu::counts();
      EXPECT_EQ(after.graphs - before.graphs, n == 0 ? 0 : expected.graphs) << expected.strategy;
      EXPECT_EQ(after.kernels - before.kernels > 0, n == 0) << expected.strategy;
      EXPECT_EQ(after.uploads - before.uploads, expected.uploads) << expected.strategy;
      EXPECT_EQ(after.copies - before.copies, expected.copies) << expected.strategy;
      EXPECT_EQ(after.downloads - before.downloads, expected.downloads) << expected.strategy;
      EXPECT_EQ(after.waits - before.waits, expected.downloads) << expected.strategy;
    }
  }
}

// Each step either runs or says that there is no memory, and then has changed nothing that a further one would need; what
// cannot be recorded runs as it is.
TEST_P(CudaSteps, RunOrSayThatThereIsNoMemory) {
  std::vector<std::vector<float>> expected;
  {
    const Model model = load();
    std::vector<State> states(2, model.new_state());
    for (Token token = 1; token < 5; ++token) expected.push_back(step(model, states, 2, token));
  }
  bool enough = false;
  for (std::int64_t n = 0; !enough; ++n) {
    ASSERT_LT(n, 100);
    const Model model = load();
    const State start = model.new_state();
    std::vector<State> states(2, start);
    const std::int64_t graphs = cuemu::counts().graphs;
    cuemu::config().allocations_left = n;
    for (Token token = 1; token < 5; ++token) {
      std::vector<float> logits;
      try {
        logits = step(model, states, 2, token);
      } catch (const OutOfMemoryError& error) {
        EXPECT_NE(std::string(error.what()).find("out of memory"), std::string::npos) << error.what();
        EXPECT_EQ(token, 1) << n;  // later steps have all they need, but for graphs
        cuemu::config().allocations_left = INT64_MAX;
        for (State& state : states) state.assign(start.arrays());
        logits = step(model, states, 2, token);
        cuemu::config().allocations_left = 0;
      }
      EXPECT_EQ(logits, expected[token - 1]) << n << ", token " << token;
    }
    enough = cuemu::counts().graphs > graphs;
    cuemu::config().allocations_left = INT64_MAX;
  }
}

// Of the two allocations that a graph takes there is one: each try to record a step uses it up.
TEST_P(CudaSteps, ThatCannotBeRecordedAreTriedAgainAfterTwiceAsMany) {
  const Model model = load(), other = load();
  std::vector<State> states(2, model.new_state()), expected(2, other.new_state());
  for (int n = 1; n <= 18; ++n) {
    const std::int64_t left = n == 1 || n >= 16 ? INT64_MAX : 1, graphs = cuemu::counts().graphs;
    cuemu::config().allocations_left = left;
    const auto logits = step(model, states, 2, n);
    EXPECT_EQ(cuemu::config().allocations_left < left, n == 2 || n == 4 || n == 8 || n == 16) << n;
    EXPECT_EQ(cuemu::counts().graphs - graphs, n >= 16 ? 1 : 0) << n;
    cuemu::config().allocations_left = INT64_MAX;
    EXPECT_EQ(logits, step(other, expected, 2, n)) << n;
  }
}

TEST_P(CudaSteps, OfModelsOnTwoCards) {
  const Model here = load(), there(model_file(GetParam().file), "cuda:1 fp16");
  std::vector<State> a(2, here.new_state()), b(2, there.new_state());
  for (Token token = 1; token < 6; ++token) EXPECT_EQ(step(here, a, 2, token), step(there, b, 2, token)) << token;
}

// Of other batches than the last eight, graphs are gone.
TEST(CudaStepsKept, AreAtMostEight) {
  RWKV_SKIP_UNLESS_CUDA_RUNS(7);
  const Model model(model_file("random-v7"), "cuda fp16");
  std::vector<State> states(10, model.new_state());
  const Token token = 9;
  std::vector<Sequence> batch;
  for (std::size_t n_seq = 1; n_seq <= states.size(); ++n_seq) {
    batch.push_back({{&token, 1}, &states[n_seq - 1], {}});
    for (int n = 0; n < 2; ++n) model.forward(batch);
    const std::string held = cuemu::leaks(), expected = message(", ", std::min<std::size_t>(n_seq, 8), " graph");
    EXPECT_NE(held.find(expected), std::string::npos) << held;
  }
}

INSTANTIATE_TEST_SUITE_P(Each, CudaSteps, testing::ValuesIn(kVersionModels), version_name);

}  // namespace
}  // namespace rwkv::test
