// SPDX-License-Identifier: Apache-2.0
// What repeated measurements say: the middle, and how far they lie apart.
#pragma once
#include <algorithm>
#include <vector>

namespace rwkv::bench {

struct Spread {
  double median = 0, min = 0, max = 0;
};

// Of at least one sample; the median of an even number is the mean of the two in the middle.
[[nodiscard]] inline Spread spread_of(std::vector<double> samples) {
  std::ranges::sort(samples);
  const std::size_t n = samples.size();
  return {(samples[(n - 1) / 2] + samples[n / 2]) / 2, samples.front(), samples.back()};
}

}  // namespace rwkv::bench
