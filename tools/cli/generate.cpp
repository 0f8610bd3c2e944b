// SPDX-License-Identifier: Apache-2.0
#include "cli/generate.h"

#include "cli/interrupt.h"
#include "cli/prompt_source.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/terminal.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <utility>

namespace rwkv::cli {
namespace {

constexpr int kDefaultMaxTokens = 256;

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

PromptSource open_prompt(const Options& options) {
  if (options.prompt) return PromptSource::text(*options.prompt);
  if (options.file && *options.file != "-") return PromptSource::file(*options.file);
  if (!options.file && is_terminal(STDIN_FILENO)) throw UsageError("no prompt: give -p TEXT, -f FILE or a pipe, or --chat");
  return PromptSource::standard_input();
}

class Run {
 public:
  Run(const Options& options, PromptSource source, const Session& session)
      : options_(options),
        source_(std::move(source)),
        session_(session),
        pipeline_(session.pipeline),
        generate_(generate_options(options, kDefaultMaxTokens)),
        state_(first_state(session, options)),
        output_(options.raw ? Output::Filter::none : Output::Filter::automatic) {}

  ExitCode operator()() {
    first_token_ = state_.tokens_seen();
    start_ = Clock::now();
    const std::string prompt = read_all_but_last_piece();
    const State start = state_;  // for the case that a stop string must be unread
    const Generated generated = generate_.max_tokens > 0 ? generate(prompt) : read(prompt);
    end_ = Clock::now();
    if (interrupted() && !started_) throw Interrupted();  // within the prompt: a state of half of it helps nobody
    if (options_.state_out) {
      if (generate_.max_tokens > 0) settle(pipeline_, state_, start, prompt, generated, generate_, {});
      state_.save(*options_.state_out);
    }
    finish(generated, start.tokens_seen() - first_token_ + generated.prompt_tokens);
    return interrupted() ? kInterrupted : kDone;
  }

 private:
  // Returns the piece of the prompt that is for generate().
  std::string read_all_but_last_piece() {
    const SafeCut cut(pipeline_.tokenizer());
    auto piece = source_.next(cut);
    if (!piece) throw UsageError("the prompt is empty");
    for (;;) {
      if (options_.display_prompt && !options_.json) output_.write(*piece);
      auto next = source_.next(cut);
      if (!next) return *std::move(piece);
      (void)read(*piece);
      if (interrupted()) throw Interrupted();
      piece = std::move(next);
    }
  }

  bool on_prompt(std::int64_t done, std::int64_t total) {
    const double part = total > 0 ? double(done) / double(total) : 0;
    progress_.update(piece_start_ + std::int64_t(part * double(piece_bytes_)),
                     std::max(source_.bytes_in_all(), source_.bytes_given()));
    return !interrupted();
  }

  bool on_token() {
    if (!std::exchange(started_, true)) prompt_end_ = Clock::now();
    return !interrupted();
  }

  bool on_text(std::string_view piece) {
    progress_.clear();
    if (!options_.json) output_.write(piece);
    return true;
  }

  Generated read(std::string_view piece) {
    watch(piece);
    const std::int64_t before = state_.tokens_seen();
    (void)pipeline_.read(piece, state_, generate_);
    progress_.clear();
    Generated nothing;
    nothing.prompt_tokens = state_.tokens_seen() - before;
    return nothing;
  }

  Generated generate(std::string_view prompt) {
    watch(prompt);
    generate_.on_token = [this](Token) { return on_token(); };
    generate_.on_text = [this](std::string_view text) { return on_text(text); };
    Generated generated = pipeline_.generate(prompt, state_, generate_);
    progress_.clear();
    return generated;
  }

  void watch(std::string_view piece) {
    piece_start_ += std::exchange(piece_bytes_, std::int64_t(piece.size()));
    generate_.on_prompt = [this](std::int64_t done, std::int64_t total) { return on_prompt(done, total); };
  }

  void finish(const Generated& generated, std::int64_t prompt_tokens) {
    if (!started_) prompt_end_ = end_;
    const Report report{session_,
                        generated,
                        generate_,
                        {.prompt_tokens = prompt_tokens,
                         .prompt_seconds = seconds(prompt_end_ - start_),
                         .generate_seconds = seconds(end_ - prompt_end_)},
                        interrupted()};
    if (options_.json)
      output_.write(json_line(report));
    else if (is_terminal(STDOUT_FILENO))
      output_.write("\n");
    if (options_.verbose) std::fprintf(stderr, "\n%s", speed_line(report).c_str());
  }

  const Options& options_;
  PromptSource source_;
  const Session& session_;
  const Pipeline& pipeline_;
  GenerateOptions generate_;
  State state_;
  Output output_;
  Progress progress_{"reading"};
  bool started_ = false;          // text has come
  std::int64_t first_token_ = 0;  // tokens_seen() before the prompt
  std::int64_t piece_start_ = 0, piece_bytes_ = 0;
  Clock::time_point start_, prompt_end_, end_;
};

}  // namespace

ExitCode run_generate(const Options& options) {
  PromptSource source = open_prompt(options);
  const Session session = load_session(options);
  return Run(options, std::move(source), session)();
}

}  // namespace rwkv::cli
