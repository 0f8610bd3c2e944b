// SPDX-License-Identifier: Apache-2.0
// One sequence of very many tokens: does anything grow?
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "bench/loaded_model.h"

namespace rwkv::bench {

struct LongPoint {
  std::int64_t tokens = 0;       // fed so far
  double seconds_per_token = 0;  // median since the point before
  std::int64_t resident_bytes = 0;
  std::int64_t state_bytes = 0;
  TransformerCost transformer{};
};

struct LongRun {
  std::vector<LongPoint> points;  // about 50, evenly spaced
  double limit_gb_s = 0;          // the bandwidth of the card or of as many threads, read before and after
};

// Feeds `tokens` tokens one by one, and draws the likeliest next one after each. Throws NumericError for logits of NaN or
// infinity.
[[nodiscard]] LongRun long_run(const LoadedModel& loaded, std::int64_t tokens, int threads,
                               const std::function<void(std::int64_t tokens)>& after_each);

}  // namespace rwkv::bench
