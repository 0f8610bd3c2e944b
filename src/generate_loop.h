// SPDX-License-Identifier: Apache-2.0
// The loop of Pipeline::generate over any source of logits. Rules: docs/sampling.md.
#pragma once
#include <rwkv/pipeline.h>

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
};

struct FedPrompt {
  std::int64_t tokens = 0;
  bool stopped = false;  // on_prompt said so
};

// Feeds `tokens` in chunks, checked before the first is fed. `logits` as in LogitSource, written with the last chunk.
FedPrompt feed_in_chunks(const LogitSource& source, std::span<const Token> tokens, const GenerateOptions& options,
                         std::span<float> logits);

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
  bool output_text(const std::string& piece);

  LogitSource source_;
  TokenizerPtr tokenizer_;
  std::vector<Token> prompt_;
  GenerateOptions options_;
  Sampler sampler_;
  StreamDecoder decoder_;
  StopStrings stops_;
  std::vector<float> logits_;  // [n_vocab]
  Generated result_;
  bool prompt_read_ = false, going_on_ = true;
};

}  // namespace rwkv
