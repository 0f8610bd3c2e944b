// SPDX-License-Identifier: Apache-2.0
// Tokens drawn on a CUDA device: the text of the CPU with the same seed.
#include <rwkv/pipeline.h>

#include "cuda/engine/engine.h"
#include "devices.h"
#include "sampling/draw.h"

namespace rwkv::test {
namespace {

const std::vector<SamplingOptions> kOptions = {{.seed = 1},
                                               {.temperature = 0.0f, .seed = 2},
                                               {.temperature = 1.5f, .top_p = 1.0f, .token_ban = {3, 5, 3}, .seed = 3},
                                               {.top_k = 4, .min_p = 0.01f, .alpha_presence = -1.0, .seed = 4},
                                               {.temperature = 0.7f, .top_p = 0.5f, .alpha_frequency = 2.0, .seed = 5}};

// Prompts of several lengths that go on for 8 tokens together, each with options of its own.
std::vector<std::vector<Token>> texts(const Model& model, std::span<const Token> prompt) {
  const std::size_t n = kOptions.size();
  std::vector<State> states(n, model.new_state());
  std::vector<Sampler> samplers;
  for (const SamplingOptions& o : kOptions) samplers.emplace_back(o);
  std::vector<std::vector<Token>> said(n);
  for (std::size_t i = 0; i < n; ++i) said[i].assign(prompt.begin(), prompt.begin() + 1 + static_cast<std::ptrdiff_t>(2 * i));
  for (int step = 0; step < 8; ++step) {
    std::vector<Token> drawn(n);
    std::vector<Sequence> batch;
    for (std::size_t i = 0; i < n; ++i) {
      const auto tokens = step == 0 ? std::span<const Token>(said[i]) : std::span<const Token>(said[i]).last(1);
      batch.push_back({.tokens = tokens, .state = &states[i], .sampler = &samplers[i], .drawn = &drawn[i]});
    }
    model.forward(batch);
    for (std::size_t i = 0; i < n; ++i) {
      said[i].push_back(drawn[i]);
      samplers[i].accept(drawn[i], drawn[i] % 3 > 0);
    }
  }
  return said;
}

class CudaDraw : public testing::TestWithParam<VersionModel> {};

TEST_P(CudaDraw, BatchesGiveTheTextsOfTheCpu) {
  RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version);
  const auto prompt = load_golden(GetParam().file).tokens;
  const Model cuda(model_file(GetParam().file), "cuda fp32"), cpu(model_file(GetParam().file), "cpu fp32");
  EXPECT_EQ(texts(cuda, prompt), texts(cpu, prompt));
}

INSTANTIATE_TEST_SUITE_P(Each, CudaDraw, testing::ValuesIn(kVersionModels), version_name);

TEST(CudaDrawing, ThePipelineGivesTheTextOfTheCpu) {
  const std::filesystem::path file = std::string(RWKV_SOURCE_DIR) + "/tools/demo_model/demo.safetensors";
  const auto generate = [&](const char* strategy) {
    const Model model(file, strategy);
    State state = model.new_state();
    GenerateOptions options{.max_tokens = 12};
    options.sampling.seed = 3;
    return Pipeline(model, find_tokenizer(file, model.config().n_vocab)).generate("Once upon", state, options);
  };
  const Generated cuda = generate("cuda fp32"), cpu = generate("cpu fp32");
  EXPECT_EQ(cuda.tokens, cpu.tokens);
  EXPECT_EQ(cuda.text, cpu.text);
  EXPECT_EQ(cuda.fed_tokens, 11);
}

// The device's draw and the sampler, from the same logits: 160 draws with different options.
TEST(CudaDrawing, EqualsTheSampler) {
  const auto device = open_device({DeviceKind::cuda, 0}, 1);
  const std::int64_t n_vocab = 301, n = 40;
  Random random(11);
  std::vector<float> logits(n * n_vocab);
  std::vector<Sampler> samplers, same;
  for (std::int64_t i = 0; i < n; ++i) {
    const double scale = 0.1 + 8 * random.uniform();
    for (std::int64_t t = 0; t < n_vocab; ++t) {
      logits[i * n_vocab + t] = static_cast<float>(scale * (random.uniform() + random.uniform() - 1) * 3);
    }
    SamplingOptions o{.temperature = static_cast<float>(2 * random.uniform()), .top_p = static_cast<float>(random.uniform())};
    o.top_k = i % 3 == 0 ? static_cast<int>(random.next() % 50) : 0;
    o.min_p = i % 4 == 0 ? static_cast<float>(0.1 * random.uniform()) : 0;
    o.token_ban.assign(i % 5, static_cast<Token>(random.next() % n_vocab));
    o.seed = static_cast<std::uint64_t>(i);
    samplers.emplace_back(o);
    for (std::int64_t t = 0; t < i; ++t) samplers.back().accept(static_cast<Token>(random.next() % n_vocab), t % 2 > 0);
  }
  same = samplers;
  for (int round = 0; round < 4; ++round) {
    Workspace workspace(*device, 1 << 20);
    const Rows rows = workspace.rows(n, n_vocab);
    device->upload(rows.data, logits.data(), logits.size() * sizeof(float));
    std::vector<Token> drawn(n);
    std::vector<RowToDraw> draws;
    for (std::int64_t i = 0; i < n; ++i) draws.push_back({i, &samplers[i], &drawn[i]});
    draw(*device, workspace, rows, draws);
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<float> row(logits.begin() + i * n_vocab, logits.begin() + (i + 1) * n_vocab);
      EXPECT_EQ(drawn[i], same[i].sample(row)) << i << " in round " << round;
    }
  }
}

TEST(CudaDrawing, BrokenLogitsAreReportedWithTheOthersDrawn) {
  const Model model(model_file("random-v7"), "cuda fp32");
  std::vector<State> states(2, model.new_state());
  auto arrays = states[1].arrays();
  arrays[0].values[0] = NAN;
  states[1].assign(arrays);
  std::vector<Sampler> samplers(2);
  std::vector<Token> drawn(2, -7), tokens{1};
  std::vector<Sequence> batch;
  for (std::size_t i = 0; i < 2; ++i) {
    batch.push_back({.tokens = tokens, .state = &states[i], .sampler = &samplers[i], .drawn = &drawn[i]});
  }
  try {
    model.forward(batch);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const NumericError& error) {
    EXPECT_STREQ(error.what(), "sequence 1: the logit of token 0 is NaN");
  }
  EXPECT_GE(drawn[0], 0);
  EXPECT_LT(drawn[1], 0);
  EXPECT_EQ(states[0].tokens_seen(), 1);
  EXPECT_EQ(states[1].tokens_seen(), 1);
}

}  // namespace
}  // namespace rwkv::test
