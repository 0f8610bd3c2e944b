// SPDX-License-Identifier: Apache-2.0
// The loop of Pipeline::generate over any source of logits. Rules: docs/sampling.md.
#pragma once
#include <rwkv/pipeline.h>

#include <exception>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "stop_strings.h"

namespace rwkv {

// What the loop needs of a model and its state.
struct LogitSource {
  int n_vocab;
  // Feeds at least one token; `logits` is [n_vocab] after the last one, or empty when they are not needed.
  std::function<void(std::span<const Token> tokens, std::span<float> logits)> feed;
  // Feeds likewise, and draws the token after the last one. Null: the loop draws from the logits of feed.
  std::function<Token(std::span<const Token> tokens, Sampler& sampler)> draw = {};
};

struct FedPrompt {
  std::int64_t tokens = 0;
  bool stopped = false;  // on_prompt said so
};

// Feeds `tokens` in chunks, checked before the first is fed; feed_last feeds the last one.
FedPrompt feed_in_chunks(const LogitSource& source, std::span<const Token> tokens, const GenerateOptions& options,
                         const std::function<void(std::span<const Token>)>& feed_last);

// One text, a token at a time. All that changes outside is the fed state, and that between tokens only, so an exception from a
// callback, the sampler or the source leaves it at a token boundary.
class GenerateLoop {
 public:
  // Checks all options and tokens; feeds nothing.
  GenerateLoop(LogitSource source, TokenizerPtr tokenizer, std::vector<Token> prompt, GenerateOptions options);
  GenerateLoop(const GenerateLoop&) = delete;
  GenerateLoop& operator=(const GenerateLoop&) = delete;

  // Feeds the prompt, or the token before, then draws one and outputs its text. False when the text has ended.
  bool step();

  [[nodiscard]] const Generated& result() const noexcept { return result_; }

 private:
  bool end(StopReason reason);
  [[nodiscard]] bool read_prompt();
  void feed_and_draw(std::span<const Token> tokens);
  bool output_text(const std::string& piece);

  LogitSource source_;
  TokenizerPtr tokenizer_;
  std::vector<Token> prompt_;
  GenerateOptions options_;
  Sampler sampler_;
  StreamDecoder decoder_;
  StopStrings stops_;
  std::vector<float> logits_;  // [n_vocab]; empty where the source draws
  Token drawn_ = 0;
  std::exception_ptr broken_logits_;  // instead of drawn_, thrown when the prompt or token is counted as fed
  Generated result_;
  bool prompt_read_ = false, going_on_ = true;
};

}  // namespace rwkv
