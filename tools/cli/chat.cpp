// SPDX-License-Identifier: Apache-2.0
#include "cli/chat.h"

#include "cli/chat_format.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/prompt_source.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

namespace rwkv::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kUntilTheEnd = -1;
constexpr const char* kCommands =
    "/reset      forget the conversation\n"
    "/save FILE  save its state; only you can read the file\n"
    "/load FILE  go on with a saved one\n"
    "/quit       leave (also Ctrl-D); Ctrl-C stops an answer\n";

class Chat {
 public:
  Chat(const Options& options, const Session& session)
      : options_(options),
        session_(session),
        pipeline_(session.pipeline),
        generate_(generate_options(options, kUntilTheEnd)),
        state_(first_state(session, options)),
        output_(options.raw ? Output::Filter::none : Output::Filter::automatic),
        keyboard_(is_terminal(STDIN_FILENO)) {
    if (generate_.stop.empty()) generate_.stop = chat_stops(pipeline_.model().config());
    generate_.on_prompt = [](std::int64_t, std::int64_t) { return !interrupted(); };
    generate_.on_token = [](Token) { return !interrupted(); };
    generate_.on_text = [this](std::string_view text) { return on_text(text); };
  }

  ExitCode operator()() {
    read_opening();
    beginning_ = state_;
    if (keyboard_) std::fprintf(stderr, "%s", kCommands);
    while (!ended_) {
      if (keyboard_) std::fputs("\n> ", stderr);
      if (const auto line = input_.next()) {
        handle(clean_turn(*line));
      } else if (!take_interrupt()) {
        break;
      } else if (keyboard_) {
        std::fputs("\n/quit or Ctrl-D leaves", stderr);
      } else {
        return kInterrupted;
      }
    }
    if (options_.state_out) state_.save(*options_.state_out);
    return kDone;
  }

 private:
  // The text of -p or -f, as it is, ended like a turn.
  void read_opening() {
    if (!options_.prompt && !options_.file) return;
    auto source = options_.prompt ? PromptSource::text(*options_.prompt) : PromptSource::file(*options_.file);
    const SafeCut cut(pipeline_.tokenizer());
    auto piece = source.next(cut);
    while (piece) {
      auto next = source.next(cut);
      if (!next) piece->append(piece->ends_with("\n\n") ? "" : piece->ends_with('\n') ? "\n" : "\n\n");
      (void)pipeline_.read(*piece, state_, generate_);
      if (interrupted()) throw Interrupted();
      piece = std::move(next);
    }
  }

  void handle(const std::string& line) {
    if (line.starts_with('/')) {
      command(line);
    } else if (!line.empty()) {
      answer(line);
    }
  }

  void command(const std::string& line) {
    const std::size_t blank = std::min(line.find(' '), line.size());
    const std::string name = line.substr(0, blank), file = clean_turn(std::string_view(line).substr(blank));
    const bool takes_file = name == "/save" || name == "/load";
    if (takes_file == file.empty() || (!takes_file && name != "/reset" && name != "/quit")) {
      std::fprintf(stderr, "%s", kCommands);
    } else if (takes_file) {
      save_or_load(name, file);
    } else if (name == "/reset") {
      state_ = beginning_;
      std::fputs("a new conversation\n", stderr);
    } else {
      ended_ = true;
    }
  }

  // A file that cannot be used leaves the conversation as it is.
  void save_or_load(const std::string& command, const std::string& file) {
    try {
      if (command == "/save")
        state_.save(file);
      else
        state_ = State::load(file, pipeline_.model());
      std::fprintf(stderr, "%s %s\n", command == "/save" ? "saved" : "loaded", without_controls(file).c_str());
    } catch (const Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
  }

  bool on_text(std::string_view text) {
    if (!begun_) {
      text_start_ = Clock::now();
      text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));  // the blank behind "Assistant:"
      begun_ = !text.empty();
    }
    if (!options_.json) output_.write(text);
    return true;
  }

  void answer(const std::string& user_text) {
    const std::string prompt = chat_prompt(user_text);
    const State before = state_;
    const auto start = Clock::now();
    begun_ = false;
    text_start_ = start;
    Generated generated = pipeline_.generate(prompt, state_, generate_);
    const auto end = Clock::now();
    const bool stopped = take_interrupt();
    close_turn(before, prompt, generated, stopped);
    const Report report{session_, generated, generate_, timings(generated, start, end), stopped};
    if (options_.json)
      output_.write(json_line(report));
    else
      output_.write("\n");
    if (options_.verbose) std::fputs(speed_line(report).c_str(), stderr);
  }

  // Leaves the state behind the empty line that ends a turn; behind the turn before if the question was not read completely.
  void close_turn(const State& before, const std::string& prompt, Generated& generated, bool stopped) {
    if (stopped && generated.tokens.empty()) {
      state_ = before;
      return;
    }
    const std::string_view text = generated.text;
    const char* end = text.ends_with("\n\n") ? "" : text.ends_with('\n') ? "\n" : "\n\n";
    settle(pipeline_, state_, before, prompt, generated, generate_, end);
    generated.text.erase(0, std::min(text.find_first_not_of(" \n"), text.size()));
  }

  [[nodiscard]] Timings timings(const Generated& generated, Clock::time_point start, Clock::time_point end) const {
    const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
    return {generated.prompt_tokens, seconds(text_start_ - start), seconds(end - text_start_)};
  }

  const Options& options_;
  const Session& session_;
  const Pipeline& pipeline_;
  GenerateOptions generate_;
  State state_, beginning_;  // beginning_: what /reset goes back to
  Output output_;
  LineReader input_;
  bool keyboard_;
  bool ended_ = false, begun_ = false;  // begun_: the answer has visible text
  Clock::time_point text_start_;
};

}  // namespace

ExitCode run_chat(const Options& options) {
  const Session session = load_session(options);
  return Chat(options, session)();
}

}  // namespace rwkv::cli
