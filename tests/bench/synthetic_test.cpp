// SPDX-License-Identifier: Apache-2.0
#include "bench/synthetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "bench/text.h"
#include "load.h"

namespace rwkv::bench {
namespace {

// A published shape with two layers of width 128.
std::unique_ptr<Checkpoint> make_small(const std::string& name) {
  SyntheticShape shape = synthetic_shape(name);
  shape.n_layer = 2;
  shape.n_embd = 128;
  shape.n_ffn = 512;
  shape.n_vocab = 300;
  return make_synthetic(shape);
}

TEST(Synthetic, HasAsManyParametersAsThePublishedModel) {
  const std::map<std::string, std::int64_t> published = {
      {"v4-169m", 169'342'464},   {"v4-430m", 430'397'440},   {"v7-0.1b", 191'034'624},  {"v7-0.4b", 450'767'872},
      {"v7-1.5b", 1'527'404'544}, {"v7-2.9b", 2'947'735'040}, {"v7-7.2b", 7'199'141'888}};
  for (const auto& [name, parameters] : published) {
    const auto file = make_synthetic(synthetic_shape(name));
    std::int64_t count = 0;
    for (const TensorInfo& tensor : file->tensors()) count += tensor.count();
    EXPECT_EQ(count, parameters) << name;
  }
}

TEST(Synthetic, EveryShapeLoadsCompletely) {
  for (const std::string& name : synthetic_names()) {
    const CheckedCheckpoint checked = check_checkpoint(make_synthetic(synthetic_shape(name)), LoadOptions{});
    EXPECT_TRUE(checked.unused.empty()) << name;
    EXPECT_EQ(checked.stored_type(), "bf16");
    EXPECT_EQ(checked.config.version, name[1] - '0');
  }
}

TEST(Synthetic, LogitsStayFiniteAndDependOnTheText) {
  for (const char* name : {"v4-169m", "v6-1.6b", "v7-0.1b"}) {
    const CheckedCheckpoint checked = check_checkpoint(make_small(name), LoadOptions{});
    const Model model = make_model(load_model(checked, "cpu fp32", {.threads = 1}));
    std::vector<float> one(300), other(300);
    for (auto* logits : {&one, &other}) {
      State state = model.new_state();
      std::vector<Token> tokens;
      for (int i = 0; i < 3000; ++i) tokens.push_back(token_at(i, 300));
      tokens.front() = logits == &one ? 1 : 2;
      model.forward(tokens, state, *logits);
      model.forward(std::vector<Token>(1, tokens.front()), state, *logits);
      for (const float x : *logits) ASSERT_TRUE(std::isfinite(x)) << name;
    }
    EXPECT_NE(one, other) << name;
  }
}

TEST(Synthetic, ValuesAreThoseOfTheirPlaceHoweverTheyAreRead) {
  const auto file = make_small("v7-0.1b");
  const TensorInfo& tensor = *file->find("blocks.1.ffn.key.weight");
  std::vector<float> all(tensor.count()), part(77);
  file->read(tensor, 0, all);
  file->read(tensor, 12345, part);
  for (std::size_t i = 0; i < part.size(); ++i) EXPECT_EQ(part[i], all[12345 + i]);
  std::vector<float> other(tensor.count());
  file->read(*file->find("blocks.0.ffn.key.weight"), 0, other);
  EXPECT_NE(all, other);
}

TEST(Synthetic, AMatrixIsNoiseThatKeepsTheScaleOfItsInput) {
  const auto file = make_small("v7-0.1b");
  std::vector<float> values(512 * 128);
  file->read(*file->find("blocks.1.ffn.key.weight"), 0, values);
  double sum = 0, squares = 0, neighbours = 0;
  int positive = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    squares += double(values[i]) * values[i];
    neighbours += i > 0 ? double(values[i]) * values[i - 1] : 0;
    positive += values[i] > 0;
  }
  const double n = double(values.size()), variance = 1.0 / 128;
  const double noise = 4 / std::sqrt(n);  // four standard deviations of a mean of n independent values of variance 1
  EXPECT_NEAR(sum / n, 0, noise * std::sqrt(variance));
  EXPECT_NEAR(squares / n / variance, 1, 0.02);  // bfloat16 cuts 0.4 % off every value at most
  EXPECT_NEAR(neighbours / n / variance, 0, noise);
  EXPECT_NEAR(positive / n, 0.5, noise / 2);
  EXPECT_GT(std::set<float>(values.begin(), values.end()).size(), 1000u);
}

TEST(Synthetic, UnknownNamesAreErrors) { EXPECT_THROW((void)synthetic_shape("v7-0.2b"), ArgumentError); }

}  // namespace
}  // namespace rwkv::bench
