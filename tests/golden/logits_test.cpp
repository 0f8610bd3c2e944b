// SPDX-License-Identifier: Apache-2.0
// Logits and states of every version against float64 results of an independent implementation.
#include "golden/golden.h"
#include "message.h"

namespace rwkv::test {
namespace {

// float32 rounding of some hundred operations on logits of standard deviation 1.5; measured: below 2e-5.
constexpr double kLogits = 5e-5, kState = 1e-4;

class GoldenLogits : public testing::TestWithParam<GoldenModel> {
 protected:
  void check(std::vector<std::size_t> lengths) {
    const std::string name = GetParam().golden;
    RWKV_SKIP_WITHOUT(model_file(name + ".golden.json"));
    const Golden golden = load_golden(name);
    const Model model(model_file(GetParam().file), "cpu fp32");
    State state = model.new_state();
    const auto logits = feed(model, state, golden.tokens, std::move(lengths));
    const double difference = max_difference(logits, golden.logits), of_state = state_difference(state, golden.state);
    EXPECT_LE(difference, kLogits);
    EXPECT_LE(of_state, kState);
    RecordProperty("fp32_logits", message(difference));
    RecordProperty("fp32_state", message(of_state));
    expect_same_best(logits, golden.logits, model.config().n_vocab);
    EXPECT_EQ(state.tokens_seen(), static_cast<std::int64_t>(golden.tokens.size()));
  }
};

TEST_P(GoldenLogits, TokenByToken) { check({1}); }
TEST_P(GoldenLogits, WholeSequenceAtOnce) { check({1000}); }
TEST_P(GoldenLogits, UnevenChunks) { check({3, 1, 7, 2, 16, 5}); }

std::string test_name(const testing::TestParamInfo<GoldenModel>& info) {
  std::string name = info.param.file;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Random, GoldenLogits, testing::ValuesIn(kGoldenModels), test_name);

// Weights rounded to 8 (bf16) or 11 bits (fp16): the error of a logit is about 2^-9 or 2^-12 times its size (up to 6) times a
// factor for three layers of random weights; measured: 0.11 and 0.012.
struct TypeBound {
  const char* strategy;
  double logits;
};

TEST(Types, RoundedWeightsStayWithinTheirBound) {
  for (const TypeBound& bound : {TypeBound{"cpu bf16", 0.25}, TypeBound{"cpu fp16", 0.04}}) {
    double largest = 0;
    for (const GoldenModel& m : kGoldenModels) {
      if (!std::filesystem::exists(model_file(std::string(m.golden) + ".golden.json"))) continue;
      const Golden golden = load_golden(m.golden);
      const Model model(model_file(m.file), bound.strategy);
      State state = model.new_state();
      const double difference = max_difference(feed(model, state, golden.tokens, {1000}), golden.logits);
      EXPECT_LE(difference, bound.logits) << m.file << " " << bound.strategy;
      largest = std::max(largest, difference);
    }
    RecordProperty(std::string(bound.strategy).substr(4) + "_logits", message(largest));
  }
}

TEST(Types, WeightsStoredInTheStrategysTypeLoseNothing) {
  for (const auto& [file, strategy] : {std::pair("random-v7-f16", "cpu fp16"), std::pair("random-v7-h64-bf16", "cpu bf16"),
                                       std::pair("random-v6-h64-bf16", "cpu bf16")}) {
    const Golden golden = load_golden(file);
    const Model model(model_file(file), strategy);
    State state = model.new_state();
    EXPECT_LE(max_difference(feed(model, state, golden.tokens, {1000}), golden.logits), kLogits) << file;
  }
}

// Published logits after the prompt `"in`; version 5 of these models needs 1e-5 in the head norm.
TEST(Published, TinyModelsGiveTheirPublishedLogits) {
  for (const char* name : {"tiny-rwkv-4v0", "tiny-rwkv-5v1", "tiny-rwkv-5v2", "tiny-rwkv-7v0"}) {
    const auto file = shared(std::string("models/") + name + ".json");
    RWKV_SKIP_WITHOUT(file);
    const auto info = nlohmann::json::parse(read_file(file));
    const auto expected = info["published"]["logits"].get<std::vector<float>>();
    LoadOptions options;
    if (const auto& eps = info["published"]["head_norm_eps"]; eps.is_number()) options.head_norm_eps = eps.get<float>();
    const Model model(shared(std::string("models/") + name), "cpu fp32", options);
    State state = model.new_state();
    const auto tokens = info["tokens"].get<std::vector<Token>>();
    std::vector<float> logits(model.config().n_vocab);
    model.forward(tokens, state, logits);
    EXPECT_LE(max_difference(logits, expected), 1e-4) << name;
    EXPECT_EQ(best(logits), best(expected)) << name;
  }
}

}  // namespace
}  // namespace rwkv::test
