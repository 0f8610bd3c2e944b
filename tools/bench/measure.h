// SPDX-License-Identifier: Apache-2.0
// Repeated measurements of one kind of work, each with the machine's limits read right before and right after it.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "bench/cost.h"
#include "bench/limits.h"
#include "bench/loaded_model.h"
#include "bench/spread.h"
#include "bench/text.h"

namespace rwkv::bench {

// A figure of the table; what does not apply is empty.
struct Result {
  std::string what;                       // "decode", "prefill", "batch", "load"
  std::int64_t tokens = 0;                // of each sequence
  std::int64_t batch = 1;                 // sequences computed together
  Spread tok_s;                           // of all sequences together
  Spread seconds;                         // of one sample
  double bytes_per_token = 0;             // of weights
  double state_bytes_per_token = 0;       // read and written
  double gb_s = 0, limit_gb_s = 0;        // of weights
  double gflop_s = 0, limit_gflop_s = 0;  // of the matrices
  double share = 0;                       // of the speed that the tighter limit allows
  bool bandwidth_bound = false;           // which of the two that is
  std::optional<double> zero_share;       // of the squared ReLU; "decode" only
  std::optional<Spread> peak_rss_mib;     // "load" only
};

// `steps` equal steps; run(n) does n of them.
struct Workload {
  std::string what;
  std::int64_t tokens, batch, steps;
  Work work;                 // of a step
  std::int64_t state_bytes;  // of all sequences: a step reads and writes them
  std::function<void(std::int64_t)> run;
};

[[nodiscard]] Workload decode(const LoadedModel& loaded, const Text& text, std::int64_t tokens);
[[nodiscard]] Workload prefill(const LoadedModel& loaded, const Text& text, std::int64_t sequences, std::int64_t tokens);
[[nodiscard]] Workload batch(const LoadedModel& loaded, const Text& text, std::int64_t tokens, std::int64_t sequences);

// Medians of `repeat` samples after a short warm-up. `after_each` is called after each sample.
[[nodiscard]] Result measure(const Workload& workload, const std::function<Limits()>& read_limits, int repeat,
                             const std::function<void()>& after_each);

// From nothing to the first token's logits, by `first_token`, each time in a process of its own. To be called before there are
// threads.
[[nodiscard]] Result measure_load(const std::function<void()>& first_token, int repeat);

// The same once, in this process, whose peak memory must be small before.
[[nodiscard]] Result measure_load_here(const std::function<void()>& first_token);

}  // namespace rwkv::bench
