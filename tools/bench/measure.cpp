// SPDX-License-Identifier: Apache-2.0
#include "bench/measure.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "message.h"

namespace rwkv::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kWarmUpSteps = 2;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Some sequences that go on, a token each per step. The likeliest next token of each is drawn, as in generating; what is fed is
// the text.
class Sequences {
 public:
  Sequences(const Model& model, const Text& text, std::int64_t n)
      : model_(model), text_(text), states_(n, model.new_state()), samplers_(n, greedy_sampler()), tokens_(n), drawn_(n) {}

  void step() {
    std::vector<Sequence> batch;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      tokens_[i] = text_.at(position_++);
      batch.push_back({.tokens = {&tokens_[i], 1}, .state = &states_[i], .sampler = &samplers_[i], .drawn = &drawn_[i]});
    }
    model_.forward(batch);
  }

 private:
  Model model_;
  Text text_;
  std::vector<State> states_;
  std::vector<Sampler> samplers_;
  std::vector<Token> tokens_, drawn_;
  std::int64_t position_ = 0;
};

Workload stepwise(const char* what, const LoadedModel& loaded, const Text& text, std::int64_t tokens, std::int64_t sequences) {
  return {what,
          tokens,
          sequences,
          tokens,
          Work::of(loaded.cost, sequences, 1),
          sequences * loaded.model.state_bytes(),
          [all = std::make_shared<Sequences>(loaded.model, text, sequences)](std::int64_t n) {
            for (std::int64_t i = 0; i < n; ++i) all->step();
          }};
}

double peak_rss_mib(const rusage& usage) { return static_cast<double>(usage.ru_maxrss) / 1024; }  // from KiB

// Seconds and peak memory of `first_token` in a process of its own; negative seconds: it failed.
struct LoadSample {
  double seconds = -1, peak_rss_mib = 0;
};

LoadSample sample_load(const std::function<void()>& first_token) {
  int ends[2];
  if (pipe(ends) != 0) throw Error("no pipe to a process that loads the model");
  const pid_t child = fork();
  if (child < 0) throw Error("no process to load the model in");
  if (child == 0) {
    double seconds = -1;
    try {
      const auto start = Clock::now();
      first_token();
      seconds = seconds_since(start);
    } catch (...) {
      seconds = -1;
    }
    _exit(write(ends[1], &seconds, sizeof seconds) == sizeof seconds ? 0 : 1);
  }
  close(ends[1]);
  LoadSample sample;
  if (read(ends[0], &sample.seconds, sizeof sample.seconds) != sizeof sample.seconds) sample.seconds = -1;
  close(ends[0]);
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  sample.peak_rss_mib = peak_rss_mib(usage);
  return sample;
}

Result load_result(const std::vector<double>& seconds, const std::vector<double>& peaks) {
  Result result;
  result.what = "load";
  result.seconds = spread_of(seconds);
  result.peak_rss_mib = spread_of(peaks);
  return result;
}

}  // namespace

Workload decode(const LoadedModel& loaded, const Text& text, std::int64_t tokens) {
  return stepwise("decode", loaded, text, tokens, 1);
}

Workload batch(const LoadedModel& loaded, const Text& text, std::int64_t tokens, std::int64_t sequences) {
  return stepwise("batch", loaded, text, tokens, sequences);
}

Workload prefill(const LoadedModel& loaded, const Text& text, std::int64_t sequences, std::int64_t tokens) {
  std::vector<Token> prompt(tokens);
  for (std::int64_t i = 0; i < tokens; ++i) prompt[i] = text.at(i);
  return {"prefill", tokens, sequences, 1, Work::of(loaded.cost, sequences, tokens), sequences * loaded.model.state_bytes(),
          // The states go on from prompt to prompt: making new ones on a card would be part of what is timed.
          [model = loaded.model, states = std::make_shared<std::vector<State>>(sequences, loaded.model.new_state()),
           prompt = std::move(prompt)](std::int64_t n) {
            const std::int64_t n_vocab = model.config().n_vocab;
            std::vector<float> logits(states->size() * n_vocab);
            std::vector<Sequence> batch;
            for (std::size_t s = 0; s < states->size(); ++s) {
              batch.push_back({prompt, &(*states)[s], std::span(logits).subspan(s * n_vocab, n_vocab)});
            }
            for (std::int64_t i = 0; i < n; ++i) model.forward(batch);
          }};
}

Result measure(const Workload& w, const std::function<Limits()>& read_limits, int repeat,
               const std::function<void()>& after_each) {
  w.run(std::min(w.steps, kWarmUpSteps));
  const auto steps = static_cast<double>(w.steps), tokens = static_cast<double>(w.tokens * w.batch);
  std::vector<double> seconds, tok_s, gb_s, limit_gb_s, gflop_s, limit_gflop_s, share;
  int bandwidth_bound = 0;
  for (int i = 0; i < repeat; ++i) {
    const Limits before = read_limits();
    const auto start = Clock::now();
    w.run(w.steps);
    const double taken = seconds_since(start);
    const Limits after = read_limits();
    const Limits limits{(before.bytes_per_second + after.bytes_per_second) / 2,
                        (before.flops_per_second + after.flops_per_second) / 2};
    seconds.push_back(taken);
    tok_s.push_back(tokens / taken);
    gb_s.push_back(steps * w.work.bytes / taken / 1e9);
    limit_gb_s.push_back(limits.bytes_per_second / 1e9);
    gflop_s.push_back(steps * w.work.flops / taken / 1e9);
    limit_gflop_s.push_back(limits.flops_per_second / 1e9);
    share.push_back(steps * w.work.least_seconds(limits) / taken);
    bandwidth_bound += w.work.bandwidth_seconds(limits) >= w.work.arithmetic_seconds(limits) ? 1 : 0;
    after_each();
  }
  return {.what = w.what,
          .tokens = w.tokens,
          .batch = w.batch,
          .tok_s = spread_of(tok_s),
          .seconds = spread_of(seconds),
          .bytes_per_token = steps * w.work.bytes / tokens,
          .state_bytes_per_token = 2 * steps * static_cast<double>(w.state_bytes) / tokens,
          .gb_s = spread_of(gb_s).median,
          .limit_gb_s = spread_of(limit_gb_s).median,
          .gflop_s = spread_of(gflop_s).median,
          .limit_gflop_s = spread_of(limit_gflop_s).median,
          .share = spread_of(share).median,
          .bandwidth_bound = 2 * bandwidth_bound > repeat,
          .zero_share = {},
          .peak_rss_mib = {}};
}

Result measure_load(const std::function<void()>& first_token, int repeat) {
  std::vector<double> seconds, peaks;
  for (int i = 0; i < repeat; ++i) {
    const LoadSample sample = sample_load(first_token);
    if (sample.seconds < 0) {
      first_token();  // says why
      throw Error("the model could not be loaded in a process of its own");
    }
    seconds.push_back(sample.seconds);
    peaks.push_back(sample.peak_rss_mib);
  }
  return load_result(seconds, peaks);
}

Result measure_load_here(const std::function<void()>& first_token) {
  const auto start = Clock::now();
  first_token();
  const double seconds = seconds_since(start);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return load_result({seconds}, {peak_rss_mib(usage)});
}

}  // namespace rwkv::bench
