// SPDX-License-Identifier: Apache-2.0
// The nucleus is found band by band from the most probable tokens down: the same result as a full sort, bit for bit, since the
// running float32 sum sees the same numbers in the same order, but only the bands that are needed get sorted.
#include "sampling/distribution.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "message.h"

namespace rwkv {
namespace {

constexpr std::size_t kLanes = 64;        // independent sums: compilers may use vectors, the order stays defined
constexpr float kBandRatio = 1.0f / 16;   // lower end of a band relative to its upper end
constexpr float kLastBand = 1e-12f;       // below this all the rest is one band
constexpr std::size_t kRadixSort = 1500;  // from this many on it is faster than a comparison sort
constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline float exp_clamped(float x) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  // Clamped at -105, where e^x rounds to zero, as whole numbers: a comparison of floats keeps GCC from using vectors.
  constexpr auto kLowest = std::bit_cast<std::int32_t>(105.0f);
  const std::int32_t magnitude = std::bit_cast<std::int32_t>(x) & 0x7fffffff;
  x = -std::bit_cast<float>(magnitude < kLowest ? magnitude : kLowest);
  const float n = (x * kLog2E + kRound) - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  // Cephes expf: |r| <= ln(2) / 2
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2^n in two steps, so that results down to the smallest subnormal number come out.
  const auto whole = static_cast<std::int32_t>(n);
  const std::int32_t half = whole / 2;
  return p * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((whole - half + 127) << 23);
}

float largest(std::span<const float> logits) {
  float best[kLanes];
  std::fill_n(best, kLanes, -kInfinity);
  std::uint32_t bad = 0;
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      const float x = logits[i + l];
      best[l] = x > best[l] ? x : best[l];
      bad += !(x < kInfinity);  // NaN too
    }
  }
  for (; i < logits.size(); ++i) {
    best[0] = std::max(best[0], logits[i]);
    bad += !(logits[i] < kInfinity);
  }
  const float result = *std::max_element(best, best + kLanes);
  if (bad || result == -kInfinity) throw no_token(why_no_token(logits), logits.size());
  return result;
}

// p = softmax(logits). Returns the largest.
float softmax(std::span<const float> logits, float max, std::span<float> p) {
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = exp_clamped(logits[i] - max);
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= p.size(); i += kLanes)
    for (std::size_t l = 0; l < kLanes; ++l) sums[l] += p[i + l];
  for (; i < p.size(); ++i) sums[0] += p[i];
  double sum = 0;
  for (const double s : sums) sum += s;
  const auto divisor = static_cast<float>(sum);
  for (float& x : p) x /= divisor;
  return 1.0f / divisor;
}

// Appends the tokens with lower <= p < upper, by id.
void take_band(std::span<const float> p, float lower, float upper, std::vector<Candidate>& out) {
  std::size_t i = 0;
  const auto take = [&](std::size_t at) {
    if (p[at] >= lower && p[at] < upper) out.push_back({static_cast<Token>(at), p[at]});
  };
  for (; i + kLanes <= p.size(); i += kLanes) {
    std::uint32_t any = 0;
    for (std::size_t l = 0; l < kLanes; ++l) any += p[i + l] >= lower;
    if (!any) continue;
    for (std::size_t l = 0; l < kLanes; ++l) take(i + l);
  }
  for (; i < p.size(); ++i) take(i);
}

// Most probable first, of equals the lowest id first.
bool before(const Candidate& a, const Candidate& b) {
  return a.probability > b.probability || (a.probability == b.probability && a.token < b.token);
}

// Sorts tokens that are in order of their ids: most probable first, of equals the lowest id first.
void sort_descending(std::span<Candidate> band) {
  if (band.size() < kRadixSort) {
    std::sort(band.begin(), band.end(), before);
    return;
  }
  // The bits of positive floats are ordered like the floats; every pass is stable.
  constexpr int kBits = 11, kPasses = 3;
  constexpr std::size_t kDigits = std::size_t{1} << kBits;
  std::vector<Candidate> spare(band.size());
  std::span<Candidate> from = band, to = spare;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto digit = [&](const Candidate& c) {
      return (~std::bit_cast<std::uint32_t>(c.probability) >> (pass * kBits)) & (kDigits - 1);
    };
    std::vector<std::uint32_t> begin(kDigits + 1);
    for (const Candidate& c : from) ++begin[digit(c) + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    for (const Candidate& c : from) to[begin[digit(c)]++] = c;
    std::swap(from, to);
  }
  std::copy(spare.begin(), spare.end(), band.begin());
}

// How many of the sorted tokens from `begin` on are needed for the running sum to reach top_p, ties with the last one included;
// 0 if it is not reached.
std::size_t nucleus_end(std::span<const Candidate> sorted, std::size_t begin, float top_p, float& running) {
  for (std::size_t i = begin; i < sorted.size(); ++i) {
    running += sorted[i].probability;
    if (running < top_p) continue;
    while (i + 1 < sorted.size() && sorted[i + 1].probability == sorted[i].probability) ++i;
    return i + 1;
  }
  return 0;
}

// The tokens with p >= the smallest probability that top_p needs (all if it is never reached) and p >= least; of these the
// first top_k. In order of their ids.
std::vector<Candidate> best_tokens(std::span<const float> p, float max, const SamplingOptions& options) {
  const float least = std::max(options.min_p * max, std::numeric_limits<float>::denorm_min());
  const auto top_k = options.top_k > 0 ? static_cast<std::size_t>(options.top_k) : p.size();
  std::vector<Candidate> out;
  float running = 0, upper = kInfinity, lower = max;
  do {
    lower = lower * kBandRatio < kLastBand ? least : std::max(lower * kBandRatio, least);
    const std::size_t begin = out.size();
    take_band(p, lower, upper, out);
    sort_descending(std::span(out).subspan(begin));
    const std::size_t end = options.top_p < 1 ? nucleus_end(out, begin, options.top_p, running) : 0;
    if (end > 0) {
      out.resize(end);
      break;
    }
    upper = lower;
  } while (lower > least && out.size() < top_k);
  if (out.size() > top_k) {
    out.resize(top_k);
    std::sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  } else {
    const float cutoff = out.back().probability;  // reading them again by id is faster than sorting by id
    out.clear();
    take_band(p, cutoff, kInfinity, out);
  }
  return out;
}

std::vector<Candidate> greedy(std::span<const float> logits, float max, int top_k) {
  std::vector<Candidate> out;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (logits[i] == max) out.push_back({static_cast<Token>(i), 1.0f});
  if (top_k > 0 && out.size() > static_cast<std::size_t>(top_k)) out.resize(static_cast<std::size_t>(top_k));
  return out;
}

void normalise(std::vector<Candidate>& kept) {
  double sum = 0;
  for (const Candidate& c : kept) sum += c.probability;
  const auto divisor = static_cast<float>(sum);
  for (Candidate& c : kept) c.probability /= divisor;
}

}  // namespace

std::int32_t why_no_token(std::span<const float> logits) {
  for (std::int32_t i = 0; i < std::ssize(logits); ++i) {
    if (std::isnan(logits[i])) return NoToken::kNan - 2 * i;
    if (logits[i] == kInfinity) return NoToken::kInfinity - 2 * i;
  }
  return NoToken::kNoneLeft;
}

NumericError no_token(std::int32_t why, std::size_t n_vocab) {
  if (why == NoToken::kNoneLeft) return NumericError(message("no token is left: all ", n_vocab, " logits are -infinity"));
  const bool is_nan = why % 2 == 0;
  const std::int32_t token = ((is_nan ? NoToken::kNan : NoToken::kInfinity) - why) / 2;
  return NumericError(message("the logit of token ", token, " is ", is_nan ? "NaN" : "+infinity"));
}

float exp_negative(float x) noexcept { return exp_clamped(x); }

std::vector<Candidate> candidates(std::span<const float> logits, const SamplingOptions& options, std::vector<float>& scratch) {
  const float max = largest(logits);
  std::vector<Candidate> kept;
  if (options.temperature == 0 || options.top_p == 0) {
    kept = greedy(logits, max, options.top_k);
  } else {
    scratch.resize(logits.size());
    const float best = softmax(logits, max, scratch);
    const bool all = options.top_p >= 1 && options.top_k == 0 && options.min_p == 0;
    if (all) {
      take_band(scratch, std::numeric_limits<float>::denorm_min(), kInfinity, kept);
    } else {
      kept = best_tokens(scratch, best, options);
    }
    // p^(1/T) up to a factor that the normalisation removes
    if (options.temperature != 1.0f)
      for (Candidate& c : kept)
        c.probability = exp_clamped((logits[static_cast<std::size_t>(c.token)] - max) / options.temperature);
  }
  normalise(kept);
  return kept;
}

}  // namespace rwkv
