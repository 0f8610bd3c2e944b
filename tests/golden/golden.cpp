// SPDX-License-Identifier: Apache-2.0
#include "golden/golden.h"

#include <algorithm>
#include <cmath>
#include "json.h"

namespace rwkv::test {

std::string test_name(const testing::TestParamInfo<GoldenModel>& info) {
  std::string name = info.param.file;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

std::filesystem::path model_file(const std::string& name) {
  const auto here = data("models/" + name);
  return std::filesystem::exists(here) || std::filesystem::exists(here.string() + ".pth") ? here : shared("models/" + name);
}

std::vector<float> read_tensor(const Checkpoint& file, const std::string& name) {
  const TensorInfo* tensor = file.find(name);
  EXPECT_TRUE(tensor) << name;
  std::vector<float> values(tensor->count());
  file.read(*tensor, 0, values);
  return values;
}

Golden load_golden(const std::string& name) {
  Golden golden;
  golden.tokens = read_json(model_file(name + ".golden.json"))["tokens"].get<std::vector<Token>>();
  const auto file = open_checkpoint(model_file(name + ".golden.safetensors"));
  golden.logits = read_tensor(*file, "logits");
  for (int i = 0; file->find("state." + std::to_string(i)); ++i) {
    golden.state.push_back(read_tensor(*file, "state." + std::to_string(i)));
  }
  return golden;
}

double max_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double d = std::abs(double(a[i]) - double(b[i]));
    most = d <= most ? most : d;  // NaN counts as larger
    if (std::isnan(d)) return d;
  }
  return most;
}

double relative_error(std::span<const float> found, std::span<const float> expected) {
  EXPECT_EQ(found.size(), expected.size());
  double errors = 0, squares = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    errors += std::pow(double(found[i]) - expected[i], 2);
    squares += std::pow(double(expected[i]), 2);
  }
  return std::sqrt(errors / squares);
}

double state_difference(const State& state, const std::vector<std::vector<float>>& expected) {
  double most = 0;
  const auto arrays = state.arrays();
  EXPECT_EQ(arrays.size(), expected.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    double largest = 1e-6;
    for (const float x : expected[i]) largest = std::max(largest, std::abs(double(x)));
    most = std::max(most, max_difference(arrays[i].values, expected[i]) / largest);
  }
  return most;
}

std::vector<float> feed(const Model& model, State& state, std::span<const Token> tokens, std::vector<std::size_t> lengths) {
  const std::size_t n_vocab = model.config().n_vocab;
  std::vector<float> logits(tokens.size() * n_vocab);
  std::size_t first = 0;
  for (std::size_t call = 0; first < tokens.size(); ++call) {
    const std::size_t n = std::min(lengths[std::min(call, lengths.size() - 1)], tokens.size() - first);
    model.forward(tokens.subspan(first, n), state, std::span(logits).subspan(first * n_vocab, n * n_vocab));
    first += n;
  }
  return logits;
}

std::size_t best(std::span<const float> logits) { return std::max_element(logits.begin(), logits.end()) - logits.begin(); }

void expect_same_best(std::span<const float> a, std::span<const float> b, std::size_t n_vocab) {
  for (std::size_t at = 0; at < a.size(); at += n_vocab)
    EXPECT_EQ(best(a.subspan(at, n_vocab)), best(b.subspan(at, n_vocab))) << at / n_vocab;
}

}  // namespace rwkv::test
