// SPDX-License-Identifier: Apache-2.0
// Logits and states of every version against float64 results of an independent implementation.
#include <algorithm>

#include "golden/golden.h"
#include "json.h"
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

INSTANTIATE_TEST_SUITE_P(Random, GoldenLogits, testing::ValuesIn(kGoldenModels), test_name);

// Weights rounded to 8 (bf16) or 11 bits (fp16): the error of a logit is about 2^-9 or 2^-12 times its size (up to 6) times a
// factor for three layers of random weights; measured: 0.17 and 0.013. Rows at once that do not have x rounded to 8 bits too.
constexpr std::size_t kUnroundedRows = 32;

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
      const double difference = max_difference(feed(model, state, golden.tokens, {kUnroundedRows}), golden.logits);
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
    State state = model.new_state(), of_many = model.new_state();
    EXPECT_LE(max_difference(feed(model, state, golden.tokens, {8}), golden.logits), kLogits) << file;
    // x of 16 bits: an error of 2^-17 where that of 8-bit weights is 2^-9 and changes logits by up to 0.17.
    EXPECT_LE(max_difference(feed(model, of_many, golden.tokens, {kUnroundedRows}), golden.logits), 0.17 / 256) << file;
  }
}

// More rows of a bf16 model have x rounded to 8 bits, as the weights are: the error of both together is 1.4 times that of the
// weights alone. In the mean over all logits, as single ones can be far off: where a head is almost constant, its norm makes a
// small error large (random-v5.1). Largest seen: 0.042 of the logits' size; the rwkv package in bf16, which rounds more: 0.028.
TEST(Types, ManyRowsOfBf16StayWithinTheirBoundInTheMean) {
  double largest = 0;
  for (const GoldenModel& m : kGoldenModels) {
    if (!std::filesystem::exists(model_file(std::string(m.golden) + ".golden.json"))) continue;
    const Golden golden = load_golden(m.golden);
    const Model model(model_file(m.file), "cpu bf16");
    State state = model.new_state();
    const std::vector<float> logits = feed(model, state, golden.tokens, {1000});
    const double error = relative_error(logits, golden.logits);
    EXPECT_LE(error, 0.06) << m.file;
    largest = std::max(largest, error);
  }
  RecordProperty("bf16_rows", message(largest));
}

// Published logits after the prompt `"in`; version 5 of these models needs 1e-5 in the head norm.
TEST(Published, TinyModelsGiveTheirPublishedLogits) {
  for (const char* name : {"tiny-rwkv-4v0", "tiny-rwkv-5v1", "tiny-rwkv-5v2", "tiny-rwkv-7v0"}) {
    const auto file = shared(std::string("models/") + name + ".json");
    RWKV_SKIP_WITHOUT(file);
    const auto info = read_json(file);
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
