// SPDX-License-Identifier: Apache-2.0
// From logits to the next token: penalties, bans, top-p, top-k, min-p, temperature, a seeded draw. Rules: docs/sampling.md.
#pragma once
#include <rwkv/error.h>
#include <rwkv/model.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace rwkv {

// Defaults are those of the `rwkv` package's PIPELINE_ARGS.
struct SamplingOptions {
  float temperature = 1.0f;                // 0: greedy; [0, 100]. Applied after the cuts: p^(1/temperature)
  float top_p = 0.85f;                     // [0, 1]; 1: off, 0: greedy
  int top_k = 0;                           // 0: off; of equal tokens the lowest ids stay
  float min_p = 0.0f;                      // [0, 1]; drops tokens below min_p times the best one's probability; 0: off
  double alpha_presence = 0.2;             // subtracted from the logit of every token generated before; [-100, 100]
  double alpha_frequency = 0.2;            // and this times its decayed count; [-100, 100]
  double alpha_decay = 0.996;              // of the counts, per token; [0, 1]
  std::vector<Token> token_ban = {};       // never drawn
  std::optional<std::uint64_t> seed = {};  // empty: from the system's entropy
};

// Throws ArgumentError naming the first value outside its range.
void validate(const SamplingOptions& options);

// Our own generator (the same numbers on every platform): PCG-XSH-RR 64/32, O'Neill 2014, stream 54 as in its demonstration.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept;
  [[nodiscard]] std::uint32_t next() noexcept;
  [[nodiscard]] double uniform() noexcept;  // [0, 1), 53 bits, two next()

 private:
  std::uint64_t state_;
};

// One stream's sampling: it remembers what was generated.
class Sampler {
 public:
  // Throws ArgumentError as validate() does.
  explicit Sampler(SamplingOptions options = {});

  // Applies bans and penalties to `logits` [n_vocab] in place and draws; uses one Random::uniform() per call. Throws
  // NumericError for NaN or +infinity, or when no token is left (all -infinity), TokenError for a ban or a counted token
  // outside the vocabulary, ArgumentError for no logits. Does not count the token: call accept().
  [[nodiscard]] Token sample(std::span<float> logits);

  // Decays all counts, then counts `token`: by 1, or by 0 for blanks and digits (`counts` false), which keep the presence
  // penalty.
  void accept(Token token, bool counts);

  // Forgets what was generated; the random sequence goes on.
  void reset();

  [[nodiscard]] const SamplingOptions& options() const noexcept { return options_; }

 private:
  friend struct SamplerAccess;  // of forwards that draw: Sequence::sampler
  struct Occurrence {
    Token token;
    double count;
  };
  void apply_bans(std::span<float> logits) const;
  void apply_penalties(std::span<float> logits) const;

  SamplingOptions options_;
  Random random_;
  std::vector<Occurrence> occurrences_;
  std::vector<float> probabilities_;  // scratch, [n_vocab]
};

// The probabilities a token is drawn from, [n_vocab], after all cuts (bans and penalties already applied to `logits`). Throws
// like Sampler::sample(), and ArgumentError as validate() does.
[[nodiscard]] std::vector<float> sampling_distribution(std::span<const float> logits, const SamplingOptions& options);

}  // namespace rwkv
