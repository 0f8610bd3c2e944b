// SPDX-License-Identifier: Apache-2.0
#include "bench/long_run.h"

#include <algorithm>
#include <chrono>

#include "bench/machine.h"
#include "bench/text.h"

namespace rwkv::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kPoints = 50;
constexpr std::int64_t kWarmUp = 100;  // tokens of another sequence: buffers are there afterwards

// The meter's memory is gone afterwards: it would be taken for the model's.
double read_bandwidth(const LoadedModel& loaded, int threads) { return loaded.limit_reader(threads)().bytes_per_second; }

class Walk {
 public:
  Walk(const Model& model, std::int64_t longest) : model_(model), state_(model.new_state()), sampler_(greedy_sampler()) {
    seconds_.reserve(longest);
  }

  // Median seconds of a token.
  double advance(std::int64_t tokens) {
    seconds_.clear();
    for (std::int64_t i = 0; i < tokens; ++i) {
      const Token token = token_at(state_.tokens_seen(), model_.config().n_vocab);
      Token drawn = 0;
      const Sequence step{.tokens = {&token, 1}, .state = &state_, .sampler = &sampler_, .drawn = &drawn};
      const auto start = Clock::now();
      model_.forward({&step, 1});
      seconds_.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    const auto middle = seconds_.begin() + static_cast<std::int64_t>(seconds_.size() / 2);
    std::nth_element(seconds_.begin(), middle, seconds_.end());
    return *middle;
  }

  [[nodiscard]] const State& state() const { return state_; }

 private:
  Model model_;
  State state_;
  Sampler sampler_;
  std::vector<double> seconds_;
};

}  // namespace

LongRun long_run(const LoadedModel& loaded, std::int64_t tokens, int threads,
                 const std::function<void(std::int64_t tokens)>& after_each) {
  const std::int64_t points = std::min(kPoints, tokens);
  const Model& model = loaded.model;
  const double before = read_bandwidth(loaded, threads);
  (void)Walk(model, kWarmUp).advance(kWarmUp);
  LongRun run;
  run.points.reserve(points);
  Walk walk(model, tokens / points + 1);
  for (std::int64_t i = 1; i <= points; ++i) {
    const double seconds = walk.advance(i * tokens / points - walk.state().tokens_seen());
    const std::int64_t seen = walk.state().tokens_seen();
    run.points.push_back({seen, seconds, resident_bytes(), walk.state().bytes(), TransformerCost::of(model.config(), seen)});
    after_each(seen);
  }
  run.limit_gb_s = (before + read_bandwidth(loaded, threads)) / 2e9;
  return run;
}

}  // namespace rwkv::bench
