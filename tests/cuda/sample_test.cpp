// SPDX-License-Identifier: Apache-2.0
// Tokens drawn by CUDA against a full sort, the rules for ties, what penalties do, and what is reported instead of a token.
#include "kernels/cuda/sample.h"

#include "cuda/device_array.h"
#include "kernels/plain_sample.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Options {
  float temperature = 1.0f, top_p = 0.85f;
  std::int32_t top_k = 0;
  float min_p = 0.0f;
};

// From row 0 without penalties; `u` of [0, 1).
Draw draw_of(const Options& o, double u) {
  return {.random = static_cast<std::uint64_t>(u * 0x1p53) << 11,
          .row = 0,
          .first_penalty = 0,
          .n_penalty = 0,
          .top_k = o.top_k,
          .top_p = o.top_p,
          .min_p = o.min_p,
          .temperature = o.temperature};
}

// logits: [rows, n_vocab]; returned as the draws leave them, if `after`.
std::vector<std::int32_t> sample(const std::vector<float>& logits, std::int64_t n_vocab, const std::vector<Draw>& draws,
                                 std::vector<Penalty> penalties = {}, std::vector<float>* after = nullptr) {
  cuda::Scratch scratch;
  const DeviceArray<float> rows_of(logits);
  const DeviceArray<Draw> how(draws);
  if (penalties.empty()) penalties.push_back({0, 0.0f});
  const DeviceArray<Penalty> penalty(penalties);
  const auto n_draw = static_cast<std::int64_t>(draws.size());
  const DeviceArray<std::int32_t> tokens(n_draw);
  const Rows all{rows_of.data(), static_cast<std::int64_t>(logits.size()) / n_vocab, n_vocab};
  cuda::sample(nullptr, scratch, {all, n_draw, how.data(), penalty.data(), tokens.data()});
  if (after) *after = rows_of.values();
  return tokens.values();
}

// The same draws, of as many rows with these logits.
std::vector<std::int32_t> sample_all(const std::vector<float>& logits, std::vector<Draw> draws) {
  std::vector<float> repeated;
  for (std::size_t i = 0; i < draws.size(); ++i) {
    draws[i].row = static_cast<std::int32_t>(i);
    repeated.insert(repeated.end(), logits.begin(), logits.end());
  }
  return sample(repeated, static_cast<std::int64_t>(logits.size()), draws);
}

constexpr Options kOptions[] = {{},
                                {0.0f},
                                {1.0f, 0.0f},
                                {1.0f, 1.0f},
                                {0.01f, 0.97f},
                                {100.0f, 0.999f},
                                {100.0f, 1.0f},
                                {1e-30f, 0.9f},
                                {0.7f, 1.0f, 5},
                                {1.3f, 0.5f, 40, 0.01f},
                                {2.0f, 1.0f, 0, 0.2f},
                                {1.0f, 1e-30f},
                                {1.0f, 0.99f, 1'000'000},
                                {3.0f, 0.95f, 1}};

void expect_plain(const std::vector<float>& logits, std::uint32_t seed, std::span<const Options> options = kOptions) {
  std::mt19937 rng(seed);
  std::vector<Draw> draws;
  for (const Options& o : options) draws.push_back(draw_of(o, static_cast<double>(rng()) * 0x1p-32));
  const auto tokens = sample_all(logits, draws);
  for (std::size_t i = 0; i < draws.size(); ++i) {
    EXPECT_EQ(tokens[i], plain_sample(logits, draws[i])) << "options " << i << " of " << logits.size() << " tokens";
  }
}

TEST(CudaSample, EqualsAFullSort) {
  for (const std::uint32_t n_vocab : {1, 2, 31, 513}) expect_plain(floats(n_vocab, n_vocab, 3.0f), n_vocab + 1);
  for (const float scale : {0.3f, 10.0f}) expect_plain(floats(4097, 10, scale), 11);
}

TEST(CudaSample, OfAWholeVocabulary) { expect_plain(floats(65536, 50, 2.0f, -7.0f), 51, std::span(kOptions).first(1)); }

// More of them in a range of probabilities than are gathered.
TEST(CudaSample, OfAnAlmostFlatVocabulary) {
  constexpr Options kCuts[] = {{1.0f, 0.3f}, {1.0f, 1.0f, 3000}};
  expect_plain(floats(9001, 52, 0.002f), 53, kCuts);
}

TEST(CudaSample, FirstAndLastRandomNumberGiveTheFirstAndLastTokenThatStays) {
  const std::vector<float> logits = {-3, 1, 0.5f, 2, 1.5f, -5};  // 0.85 of the sum: 3, 4, 1
  EXPECT_EQ(sample_all(logits, {draw_of({}, 0), draw_of({}, 1 - 0x1p-53)}), (std::vector<std::int32_t>{1, 4}));
}

// Which tokens 8 evenly spaced random numbers give.
std::vector<std::int32_t> reached(const std::vector<float>& logits, const Options& options) {
  std::vector<Draw> draws;
  for (int i = 0; i < 8; ++i) draws.push_back(draw_of(options, (i + 0.5) / 8));
  auto tokens = sample_all(logits, draws);
  std::ranges::sort(tokens);
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

using Tokens = std::vector<std::int32_t>;

TEST(CudaSample, TiesWithTheCutStayAndTopKKeepsTheLowestIds) {
  const std::vector<float> logits = {1, 3, 2, 2, 2, 0};
  EXPECT_EQ(reached(logits, {1.0f, 0.5f}), (Tokens{1, 2, 3, 4}));
  EXPECT_EQ(reached(logits, {1.0f, 1.0f, 3}), (Tokens{1, 2, 3}));
  EXPECT_EQ(reached(logits, {1.0f, 0.5f, 3}), (Tokens{1, 2, 3}));
  EXPECT_EQ(reached(logits, {5.0f, 1.0f, 5}), (Tokens{0, 1, 2, 3, 4}));
}

TEST(CudaSample, GreedyDrawsAmongTheTiesOfTheLargest) {
  const std::vector<float> logits = {1, 3, 2, 3, -kInf, 3};
  EXPECT_EQ(reached(logits, {0.0f}), (Tokens{1, 3, 5}));
  EXPECT_EQ(reached(logits, {1.0f, 0.0f}), (Tokens{1, 3, 5}));
  EXPECT_EQ(reached(logits, {0.0f, 1.0f, 2}), (Tokens{1, 3}));
  EXPECT_EQ(reached(logits, {0.0f, 1.0f, 7}), (Tokens{1, 3, 5}));
}

TEST(CudaSample, TokensWithoutProbabilityAreNotDrawn) {
  EXPECT_EQ(reached({0, -200, -kInf, 0}, {100.0f, 1.0f}), (Tokens{0, 3}));
  EXPECT_EQ(reached({0, -200, -kInf, 0}, {100.0f, 1.0f, 4}), (Tokens{0, 3}));
}

TEST(CudaSample, PenaltiesAndBansOfEachDrawAreItsOwn) {
  const std::int64_t n = 4100;
  const auto logits = floats(2 * n, 60, 2.0f);
  std::vector<Penalty> first, second{{4099, -9.0f}}, all;
  for (std::int32_t token = 0; token < n; token += 3) first.push_back({token, token % 2 == 0 ? Penalty::kBan : 0.7f});
  all = first;
  all.insert(all.end(), second.begin(), second.end());
  std::vector<Draw> draws(2, draw_of({1.0f, 0.9f}, 0.6));
  draws[0].row = 1, draws[0].n_penalty = static_cast<std::int32_t>(first.size());
  draws[1].row = 0, draws[1].first_penalty = draws[0].n_penalty, draws[1].n_penalty = 1;
  const auto tokens = sample(logits, n, draws, all);
  EXPECT_EQ(tokens[0], plain_sample({logits.begin() + n, logits.end()}, draws[0], first));
  EXPECT_EQ(tokens[1], plain_sample({logits.begin(), logits.begin() + n}, draws[1], second));
}

TEST(CudaSample, RowsWithoutADrawStayAsTheyAre) {
  const auto logits = floats(3 * 50, 61);
  std::vector<Draw> draws{draw_of({}, 0.5)};
  draws[0].row = 1, draws[0].n_penalty = 1;
  std::vector<float> after;
  static_cast<void>(sample(logits, 50, draws, {{7, 1.0f}}, &after));
  auto expected = logits;
  expected[57] -= 1.0f;
  EXPECT_EQ(after, expected);
}

TEST(CudaSample, ReportsTheFirstBrokenLogitOfADrawAndDrawsTheOthers) {
  const std::int64_t n = 5000;
  auto logits = floats(5 * n, 62);
  logits[4500] = kNan, logits[4700] = kInf;
  logits[n + 4300] = kInf, logits[n + 4999] = kNan;
  std::fill_n(logits.begin() + 2 * n, n, -kInf);
  logits[3 * n + 7] = kNan;  // banned, which must not hide it
  std::vector<Draw> draws(5, draw_of({1.0f, 0.5f, 3}, 0.4));
  for (int i = 0; i < 5; ++i) draws[i].row = i;
  draws[3].n_penalty = 1;
  draws[1].temperature = 0.0f;
  const auto tokens = sample(logits, n, draws, {{7, Penalty::kBan}});
  EXPECT_EQ(tokens[0], NoToken::kNan - 2 * 4500);
  EXPECT_EQ(tokens[1], NoToken::kInfinity - 2 * 4300);
  EXPECT_EQ(tokens[2], NoToken::kNoneLeft);
  EXPECT_EQ(tokens[3], NoToken::kNan - 2 * 7);
  EXPECT_EQ(tokens[4], plain_sample({logits.end() - n, logits.end()}, draws[4]));
}

TEST(CudaSample, BansOfAllTokensLeaveNone) {
  std::vector<Draw> draws{draw_of({}, 0.5)};
  draws[0].n_penalty = 2;
  EXPECT_EQ(sample({1, kInf}, 2, draws, {{0, Penalty::kBan}, {1, Penalty::kBan}})[0], NoToken::kNoneLeft);
}

}  // namespace
}  // namespace rwkv::test
