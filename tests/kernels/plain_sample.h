// SPDX-License-Identifier: Apache-2.0
// Drawing a token by a full sort, in double: the rules of docs/sampling.md as they are written there.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/sample.h"

namespace rwkv::test {

// The tokens that stay, from the likeliest down, of equals the lowest id first. Logits are finite or -infinity.
inline std::vector<std::int32_t> plain_kept(const std::vector<float>& logits, const Draw& draw) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) { return logits[a] > logits[b]; });
  const double max = logits[order[0]];
  std::size_t n = 0;
  if (draw.temperature == 0 || draw.top_p == 0) {
    while (n < order.size() && logits[order[n]] == max) ++n;
  } else {
    double sum = 0, running = 0;
    for (const float x : logits) sum += std::exp(x - max);
    while (n < order.size()) {
      const double p = std::exp(logits[order[n]] - max) / sum;
      const bool tie = n > 0 && logits[order[n]] == logits[order[n - 1]];
      if (p < draw.min_p / sum || p < 1e-45 || (draw.top_p < 1 && running >= draw.top_p && !tie)) break;
      running += p, ++n;
    }
  }
  if (draw.top_k > 0) n = std::min<std::size_t>(n, draw.top_k);
  order.resize(n);
  return order;
}

inline std::int32_t plain_sample(std::vector<float> logits, const Draw& draw, const std::vector<Penalty>& penalties = {}) {
  for (const Penalty& p : penalties) logits[p.token] -= p.penalty;
  const auto kept = plain_kept(logits, draw);
  const bool greedy = draw.temperature == 0 || draw.top_p == 0;
  const double max = logits[kept[0]];
  std::vector<double> weight(logits.size());
  for (const auto token : kept) weight[token] = greedy ? 1.0 : std::exp((logits[token] - max) / draw.temperature);
  double left = std::accumulate(weight.begin(), weight.end(), 0.0) * (static_cast<double>(draw.random) * 0x1p-64);
  std::int32_t last = 0;
  for (std::size_t token = 0; token < weight.size(); ++token) {
    if (weight[token] == 0) continue;
    last = static_cast<std::int32_t>(token);
    if ((left -= weight[token]) < 0) break;
  }
  return last;
}

}  // namespace rwkv::test
