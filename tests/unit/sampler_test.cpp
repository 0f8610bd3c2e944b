// SPDX-License-Identifier: Apache-2.0
// Distributions and draws against the reference, the tie rules, and what is refused.
#include <rwkv/sampler.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "json.h"
#include "sampling/distribution.h"
#include "test_data.h"

namespace rwkv {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

SamplingOptions options(float temperature, float top_p, int top_k = 0) {
  SamplingOptions o;
  o.temperature = temperature;
  o.top_p = top_p;
  o.top_k = top_k;
  o.seed = 1;
  return o;
}

// Normal by the sum of 12 uniform numbers, times `scale`.
std::vector<float> random_logits(std::size_t n, double scale, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> out(n);
  for (float& x : out) {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += random.uniform();
    x = static_cast<float>(scale * sum);
  }
  return out;
}

// The first index whose cumulative probability (in double) is greater than u.
int draw(const std::vector<float>& p, double u) {
  std::vector<double> c(p.size());
  std::partial_sum(p.begin(), p.end(), c.begin(), [](double a, double b) { return a + b; });
  for (double& x : c) x /= c.back();
  return static_cast<int>(std::upper_bound(c.begin(), c.end(), u) - c.begin());
}

// The rule as written, with a full sort: the reference for the band by band selection.
std::vector<int> kept_by_sorting(const std::vector<float>& p, float top_p) {
  std::vector<float> sorted = p;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  float running = 0, cutoff = 0;
  for (const float x : sorted) {
    running += x;
    if (running >= top_p) {
      cutoff = x;
      break;
    }
  }
  std::vector<int> out;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] >= cutoff && p[i] > 0) out.push_back(static_cast<int>(i));
  return out;
}

template <class E>
std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "no error";
}

TEST(Sampling, EqualsTheReferenceCases) {
  const auto cases = test::read_json(test::data("cases/sampling.json"));
  ASSERT_EQ(cases.size(), 60u);
  for (const auto& c : cases) {
    SCOPED_TRACE(c.dump());
    const auto expected = c["probabilities"].get<std::vector<float>>();
    const auto p =
        sampling_distribution(c["logits"].get<std::vector<float>>(), options(c["temperature"], c["top_p"], c["top_k"]));
    ASSERT_EQ(p.size(), expected.size());
    for (std::size_t i = 0; i < p.size(); ++i) {
      EXPECT_NEAR(p[i], expected[i], 1e-6) << i;
      EXPECT_EQ(p[i] == 0, expected[i] == 0) << i;
    }
    for (const auto& [u, token] : c["draws"].items()) EXPECT_EQ(draw(p, std::stod(u)), token) << u;
  }
}

TEST(Sampling, BandsKeepTheSameTokensAsAFullSort) {
  for (const double scale : {0.01, 0.3, 1.0, 3.0, 8.0}) {
    for (const float top_p : {0.001f, 0.3f, 0.85f, 0.97f, 0.999f, 0.99999f}) {
      const auto logits = random_logits(5000, scale, 7);
      const auto full = sampling_distribution(logits, options(1, 1));
      std::vector<float> scratch;
      std::vector<int> kept;
      for (const Candidate& c : candidates(logits, options(1, top_p), scratch)) kept.push_back(c.token);
      EXPECT_EQ(kept, kept_by_sorting(full, top_p)) << scale << " " << top_p;
    }
  }
}

TEST(Sampling, TopP1IsNoCut) {
  const auto logits = random_logits(65536, 1.0, 3);
  const auto p = sampling_distribution(logits, options(1, 1));
  EXPECT_EQ(std::count(p.begin(), p.end(), 0.0f), 0);
  EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-6);
}

TEST(Sampling, TopPThatRoundingNeverReachesIsNoCut) {
  const std::vector<float> logits(65536, 0.5f);  // all equal: the cutoff ties with everything anyway
  EXPECT_EQ(sampling_distribution(logits, options(1, 0.99f))[65535], 1.0f / 65536);
  const auto p = sampling_distribution(random_logits(65536, 0.5, 3), options(1, 0.99999994f));
  EXPECT_GT(std::count_if(p.begin(), p.end(), [](float x) { return x > 0; }), 60000);
}

TEST(Sampling, TiesWithTheCutoffStay) {
  const std::vector<float> logits = {1, 3, 2, 2, 2, 0};
  const auto p = sampling_distribution(logits, options(1, 0.5f));
  EXPECT_GT(p[2], 0);
  EXPECT_EQ(p[2], p[3]);
  EXPECT_EQ(p[3], p[4]);
  EXPECT_EQ(p[0] + p[5], 0);
}

TEST(Sampling, TopKKeepsTheLowestIdsOfEquals) {
  const auto p = sampling_distribution(std::vector<float>{1, 3, 2, 2, 2, 0}, options(1, 1, 3));
  EXPECT_GT(p[3], 0);
  EXPECT_EQ(p[4], 0);
  EXPECT_EQ(p[0], 0);
}

TEST(Sampling, TopKCutsTheTiesThatTopPLeaves) {
  const auto p = sampling_distribution(std::vector<float>{1, 3, 2, 2, 2, 0}, options(1, 0.5f, 3));
  EXPECT_GT(p[3], 0);
  EXPECT_EQ(p[4], 0);
}

TEST(Sampling, MinPCutsRelativeToTheBest) {
  SamplingOptions o = options(1, 1);
  o.min_p = 0.3f;
  const auto p = sampling_distribution(std::vector<float>{0, -1, -1.3f, -5}, o);
  EXPECT_GT(p[1], 0);
  EXPECT_EQ(p[2], 0);
  EXPECT_FLOAT_EQ(p[0] + p[1], 1);
}

TEST(Sampling, GreedyDrawsAmongExactTiesOnly) {
  const std::vector<float> logits = {0, 7, 6.9999995f, 7, 2};
  for (const auto& o : {options(0, 0.85f), options(1, 0)})
    EXPECT_EQ(sampling_distribution(logits, o), (std::vector<float>{0, 0.5f, 0, 0.5f, 0}));
}

TEST(Sampling, TemperatureDoesNotChangeWhichTokensSurvive) {
  const auto logits = random_logits(300, 2, 5);
  const auto cold = sampling_distribution(logits, options(0.3f, 0.7f)), hot = sampling_distribution(logits, options(2, 0.7f));
  for (std::size_t i = 0; i < logits.size(); ++i) EXPECT_EQ(cold[i] > 0, hot[i] > 0) << i;
}

TEST(Sampling, ExponentialIsWithinTwoUnitsInTheLastPlace) {
  for (double x = 0; x > -87; x -= 0.00137) {
    const auto f = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(f));
    EXPECT_NEAR(exp_negative(f), exact, 2 * exact * 0x1p-23) << x;
  }
  EXPECT_EQ(exp_negative(0), 1);
  EXPECT_EQ(exp_negative(-kInf), 0);
  EXPECT_NEAR(exp_negative(-100), std::exp(-100.0), 2e-45);  // subnormal
}

TEST(Random, EqualsThePublishedPcg32Numbers) {
  Random random(42);  // pcg32-demo of the author's C library: seed 42, stream 54
  for (const std::uint32_t expected : {0xa15c02b7u, 0x7b47f409u, 0xba1d3330u, 0x83d2f293u, 0xbfa4784bu, 0xcbed606eu})
    EXPECT_EQ(random.next(), expected);
}

TEST(Random, UniformNumbersAreBelowOneAndUse53Bits) {
  Random random(42), raw(42);
  const double first = random.uniform();
  const auto bits = (std::uint64_t{raw.next() >> 5} << 26) | (raw.next() >> 6);
  EXPECT_EQ(first, static_cast<double>(bits) / 9007199254740992.0);
  for (int i = 0; i < 100000; ++i) {
    const double u = random.uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
  }
}

TEST(Sampler, FrequenciesFollowTheDistribution) {
  const auto logits = random_logits(50, 1.5, 11);
  const auto p = sampling_distribution(logits, options(0.8f, 0.9f));
  Sampler sampler(options(0.8f, 0.9f));
  const int n = 20000;
  std::vector<int> seen(p.size());
  for (int i = 0; i < n; ++i) {
    auto copy = logits;
    ++seen[static_cast<std::size_t>(sampler.sample(copy))];
  }
  double chi2 = 0;
  int classes = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double expected = n * static_cast<double>(p[i]);
    if (expected == 0) {
      EXPECT_EQ(seen[i], 0) << i;
    } else {
      chi2 += std::pow(seen[i] - expected, 2) / expected;
      ++classes;
    }
  }
  EXPECT_LT(chi2, classes - 1 + 4 * std::sqrt(2.0 * (classes - 1)));  // mean and 4 standard deviations of chi-square
}

TEST(Sampler, SameSeedSameTokens) {
  Sampler a(options(1, 0.95f)), b(options(1, 0.95f));
  for (std::uint64_t i = 0; i < 200; ++i) {
    auto x = random_logits(100, 2, i), y = x;
    const Token t = a.sample(x);
    ASSERT_EQ(t, b.sample(y));
    a.accept(t, true), b.accept(t, true);
  }
}

TEST(Sampler, WithoutASeedRunsDiffer) {
  SamplingOptions o = options(1, 1);
  o.seed.reset();
  Sampler a(o), b(o);
  const std::vector<float> flat(65536, 0.0f);
  int equal = 0;
  for (int i = 0; i < 8; ++i) {
    auto x = flat, y = flat;
    equal += a.sample(x) == b.sample(y);
  }
  EXPECT_LT(equal, 8);  // all equal with probability 2^-128
}

TEST(Sampler, PenaltiesFollowTheReferencesFormula) {
  SamplingOptions o = options(0, 1);
  o.alpha_presence = 0.3, o.alpha_frequency = 0.6, o.alpha_decay = 0.9;
  Sampler sampler(o);
  sampler.accept(1, true);
  sampler.accept(2, false);
  sampler.accept(1, true);
  std::vector<float> logits = {0, 0, 0, 0};
  (void)sampler.sample(logits);
  EXPECT_EQ(logits[0], 0);
  EXPECT_EQ(logits[1], -static_cast<float>(0.3 + (1 * 0.9 * 0.9 + 1) * 0.6));
  EXPECT_EQ(logits[2], -0.3f);  // does not count, but was there
}

TEST(Sampler, ResetForgetsPenalties) {
  Sampler sampler(options(0, 1));
  sampler.accept(1, true);
  sampler.reset();
  std::vector<float> logits = {0, 5};
  EXPECT_EQ(sampler.sample(logits), 1);
  EXPECT_EQ(logits[1], 5);
}

TEST(Sampler, BannedTokensAreNeverDrawn) {
  SamplingOptions o = options(1, 1);
  o.token_ban = {0, 2};
  Sampler sampler(o);
  for (int i = 0; i < 100; ++i) {
    std::vector<float> logits = {50, 0, 50};
    EXPECT_EQ(sampler.sample(logits), 1);
  }
}

TEST(Sampler, BrokenLogitsAreNamedByTheirToken) {
  Sampler sampler(options(1, 0.85f));
  std::vector<float> logits(40, 0.0f);
  logits[33] = kNaN;
  EXPECT_EQ(error_of<NumericError>([&] { (void)sampler.sample(logits); }), "the logit of token 33 is NaN");
  logits[33] = 0, logits[7] = kInf;
  EXPECT_EQ(error_of<NumericError>([&] { (void)sampler.sample(logits); }), "the logit of token 7 is +infinity");
  std::vector<float> none = {-kInf, -kInf};
  EXPECT_EQ(error_of<NumericError>([&] { (void)sampler.sample(none); }), "no token is left: all 2 logits are -infinity");
}

TEST(Sampler, ABanDoesNotHideNaN) {
  SamplingOptions o = options(0, 0);
  o.token_ban = {1};
  std::vector<float> logits = {0, kNaN};
  EXPECT_EQ(error_of<NumericError>([&] { (void)Sampler(o).sample(logits); }), "the logit of token 1 is NaN");
}

TEST(Sampler, TokensOutsideTheVocabularyAreRefused) {
  SamplingOptions o = options(1, 1);
  o.token_ban = {2};
  std::vector<float> logits = {0, 0};
  EXPECT_EQ(error_of<TokenError>([&] { (void)Sampler(o).sample(logits); }),
            "banned token 2 is outside the vocabulary of 2 tokens");
  Sampler sampler(options(1, 1));
  sampler.accept(7, true);
  EXPECT_EQ(error_of<TokenError>([&] { (void)sampler.sample(logits); }),
            "counted token 7 is outside the vocabulary of 2 tokens");
  EXPECT_EQ(error_of<TokenError>([&] { sampler.accept(-1, true); }), "token -1 is negative");
  EXPECT_THROW((void)sampler.sample({}), ArgumentError);
}

TEST(SamplingOptions, ValuesOutsideTheirRangeAreNamed) {
  const auto message_of = [](auto change) {
    SamplingOptions o;
    change(o);
    return error_of<ArgumentError>([&] { validate(o); });
  };
  EXPECT_EQ(message_of([](auto& o) { o.top_p = 1.2f; }), "top_p is 1.2; it must be between 0 and 1");
  EXPECT_EQ(message_of([](auto& o) { o.top_p = kNaN; }), "top_p is NaN; it must be between 0 and 1");
  EXPECT_EQ(message_of([](auto& o) { o.temperature = -1; }), "temperature is -1; it must be between 0 and 100");
  EXPECT_EQ(message_of([](auto& o) { o.temperature = kInf; }), "temperature is inf; it must be between 0 and 100");
  EXPECT_EQ(message_of([](auto& o) { o.top_k = -1; }), "top_k is -1; it must be 0 (off) or more");
  EXPECT_EQ(message_of([](auto& o) { o.min_p = 2; }), "min_p is 2; it must be between 0 and 1");
  EXPECT_EQ(message_of([](auto& o) { o.alpha_presence = 101; }), "alpha_presence is 101; it must be between -100 and 100");
  EXPECT_EQ(message_of([](auto& o) { o.alpha_frequency = -200; }), "alpha_frequency is -200; it must be between -100 and 100");
  EXPECT_EQ(message_of([](auto& o) { o.alpha_decay = 1.5; }), "alpha_decay is 1.5; it must be between 0 and 1");
  EXPECT_EQ(message_of([](auto&) {}), "no error");
  EXPECT_THROW(Sampler(options(1, 7)), ArgumentError);
}

}  // namespace
}  // namespace rwkv
