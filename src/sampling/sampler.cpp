// SPDX-License-Identifier: Apache-2.0
// Options, random numbers, penalties and the draw.
#include <rwkv/sampler.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "message.h"
#include "sampling/distribution.h"
#include "sampling/draw.h"

namespace rwkv {
namespace {

constexpr std::uint64_t kMultiplier = 6364136223846793005u;
constexpr std::uint64_t kIncrement = (54u << 1) | 1u;

void require(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return;  // false for NaN
  const std::string found = std::isnan(value) ? "NaN" : message(value);
  throw ArgumentError(message(name, " is ", found, "; it must be between ", low, " and ", high));
}

std::size_t index_of(Token token, std::size_t n_vocab, const char* what) {
  if (token >= 0 && static_cast<std::size_t>(token) < n_vocab) return static_cast<std::size_t>(token);
  throw TokenError(message(what, " ", token, " is outside the vocabulary of ", n_vocab, " tokens"));
}

float penalty_of(const SamplingOptions& options, double count) {
  return static_cast<float>(options.alpha_presence + count * options.alpha_frequency);
}

std::uint64_t entropy() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) ^ device();
}

// u in [0, 1): the first candidate whose cumulative probability is greater.
Token draw(const std::vector<Candidate>& kept, double u) {
  double total = 0;
  for (const Candidate& c : kept) total += c.probability;
  double cumulative = 0;
  for (const Candidate& c : kept) {
    cumulative += c.probability;
    if (cumulative / total > u) return c.token;
  }
  return kept.back().token;
}

}  // namespace

void validate(const SamplingOptions& options) {
  require("temperature", options.temperature, 0, 100);
  require("top_p", options.top_p, 0, 1);
  if (options.top_k < 0) throw ArgumentError(message("top_k is ", options.top_k, "; it must be 0 (off) or more"));
  require("min_p", options.min_p, 0, 1);
  require("alpha_presence", options.alpha_presence, -100, 100);
  require("alpha_frequency", options.alpha_frequency, -100, 100);
  require("alpha_decay", options.alpha_decay, 0, 1);
}

Random::Random(std::uint64_t seed) noexcept : state_((kIncrement + seed) * kMultiplier + kIncrement) {}

std::uint32_t Random::next() noexcept {
  const std::uint64_t old = state_;
  state_ = old * kMultiplier + kIncrement;
  const auto shifted = static_cast<std::uint32_t>(((old >> 18) ^ old) >> 27);
  const auto rotation = static_cast<std::uint32_t>(old >> 59);
  return (shifted >> rotation) | (shifted << ((32 - rotation) & 31));
}

double Random::uniform() noexcept {
  const double high = next() >> 5;
  const double low = next() >> 6;
  return (high * 0x1p26 + low) * 0x1p-53;
}

Sampler::Sampler(SamplingOptions options)
    : options_((validate(options), std::move(options))), random_(options_.seed ? *options_.seed : entropy()) {}

void SamplerAccess::check_tokens(const Sampler& sampler, std::size_t n_vocab) {
  for (const Token token : sampler.options_.token_ban) (void)index_of(token, n_vocab, "banned token");
  for (const auto& [token, count] : sampler.occurrences_) (void)index_of(token, n_vocab, "counted token");
}

std::vector<Penalty> SamplerAccess::penalties(const Sampler& sampler) {
  const SamplingOptions& o = sampler.options_;
  std::vector<Token> bans = o.token_ban;
  std::ranges::sort(bans);
  bans.erase(std::unique(bans.begin(), bans.end()), bans.end());
  std::vector<Penalty> penalties;
  for (const Token token : bans) penalties.push_back({token, Penalty::kBan});
  for (const auto& [token, count] : sampler.occurrences_) {
    if (std::ranges::binary_search(bans, token)) continue;
    penalties.push_back({token, penalty_of(o, count)});
  }
  return penalties;
}

void Sampler::apply_bans(std::span<float> logits) const {
  for (const Token token : options_.token_ban) {
    float& logit = logits[index_of(token, logits.size(), "banned token")];
    // A ban must not hide a broken model.
    if (std::isnan(logit)) throw NumericError(message("the logit of token ", token, " is NaN"));
    logit = -std::numeric_limits<float>::infinity();
  }
}

void Sampler::apply_penalties(std::span<float> logits) const {
  for (const auto& [token, count] : occurrences_) {
    logits[index_of(token, logits.size(), "counted token")] -= penalty_of(options_, count);
  }
}

Token Sampler::sample(std::span<float> logits) {
  if (logits.empty()) throw ArgumentError("no logits to sample from");
  apply_bans(logits);
  apply_penalties(logits);
  const std::vector<Candidate> kept = candidates(logits, options_, probabilities_);
  return draw(kept, random_.uniform());
}

void Sampler::accept(Token token, bool counts) {
  if (token < 0) throw TokenError(message("token ", token, " is negative"));
  const double weight = counts ? 1 : 0;
  bool known = false;
  for (Occurrence& o : occurrences_) {
    o.count *= options_.alpha_decay;
    if (o.token != token) continue;
    o.count += weight;
    known = true;
  }
  if (!known) occurrences_.push_back({token, weight});
}

void Sampler::reset() { occurrences_.clear(); }

std::vector<float> sampling_distribution(std::span<const float> logits, const SamplingOptions& options) {
  validate(options);
  if (logits.empty()) throw ArgumentError("no logits to sample from");
  std::vector<float> scratch, out(logits.size());
  for (const Candidate& c : candidates(logits, options, scratch)) out[static_cast<std::size_t>(c.token)] = c.probability;
  return out;
}

}  // namespace rwkv
