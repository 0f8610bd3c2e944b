// SPDX-License-Identifier: Apache-2.0
// Greedy text of trained byte models, token by token as in the reference (they are not part of the repository).
#include <rwkv/pipeline.h>

#include <array>
#include <memory>

#include "json.h"
#include "test_data.h"

namespace rwkv {
namespace {

// Token = byte, as the models were trained.
class ByteTokenizer : public Tokenizer {
 public:
  ByteTokenizer() {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
  }
  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> out;
    for (const char c : text) out.push_back(static_cast<unsigned char>(c));
    return out;
  }
  std::string_view bytes(Token id) const noexcept override {
    return id < 0 || id > 255 ? std::string_view() : std::string_view(&bytes_[static_cast<std::size_t>(id)], 1);
  }
  int size() const noexcept override { return 256; }
  std::string_view kind() const noexcept override { return "byte"; }

 private:
  std::array<char, 256> bytes_{};
};

GenerateOptions options_of(const nlohmann::json& c) {
  GenerateOptions o;
  o.max_tokens = c["token_count"];
  o.token_stop = c["token_stop"].get<std::vector<Token>>();
  o.sampling.temperature = c["temperature"];
  o.sampling.top_p = c["top_p"];
  o.sampling.top_k = c["top_k"];
  o.sampling.alpha_frequency = c["alpha_frequency"];
  o.sampling.alpha_presence = c["alpha_presence"];
  o.sampling.alpha_decay = c["alpha_decay"];
  o.sampling.token_ban = c["token_ban"].get<std::vector<Token>>();
  return o;
}

class PipelineGolden : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path file() const { return test::shared(std::string("models/") + GetParam() + ".pth"); }
  Pipeline pipeline() const { return {Model(file(), "cpu fp32"), std::make_shared<ByteTokenizer>()}; }
};

TEST_P(PipelineGolden, GreedyTextEqualsTheReference) {
  RWKV_SKIP_WITHOUT(file());
  const Pipeline p = pipeline();
  int compared = 0;
  for (const auto& c : test::read_json(test::data("cases/generate.json"))) {
    if (c["model"] != GetParam()) continue;
    SCOPED_TRACE(c["prompt"].get<std::string>());
    State state = p.model().new_state();
    const Generated g = p.generate(c["prompt"].get<std::string>(), state, options_of(c));
    EXPECT_EQ(g.tokens, c["tokens"].get<std::vector<Token>>());
    EXPECT_EQ(g.text.substr(0, g.text.find("\ufffd")), c["text"]);  // bytes that are not UTF-8 silence the reference for good
    EXPECT_EQ(state.tokens_seen(), g.prompt_tokens + g.fed_tokens);
    ++compared;
  }
  EXPECT_EQ(compared, 4);
}

TEST_P(PipelineGolden, FeedingTheRestGoesOnWhereGenerationEnded) {
  RWKV_SKIP_WITHOUT(file());
  const Pipeline p = pipeline();
  GenerateOptions o;
  o.max_tokens = 20;
  o.sampling.temperature = 0;
  State state = p.model().new_state(), whole = p.model().new_state();
  const Generated g = p.generate("Once upon", state, o);
  std::vector<float> logits(256);
  p.model().forward(std::span(g.tokens).subspan(static_cast<std::size_t>(g.fed_tokens)), state, logits);
  const std::vector<float> expected = p.read("Once upon" + g.text, whole);
  for (std::size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-3) << i;
}

INSTANTIATE_TEST_SUITE_P(TinyModels, PipelineGolden,
                         testing::Values("tiny-rwkv-4v0", "tiny-rwkv-5v1", "tiny-rwkv-5v2", "tiny-rwkv-7v0"),
                         [](const auto& model) { return std::string(model.param).substr(10); });

}  // namespace
}  // namespace rwkv
